import { describe, expect, it } from 'vitest';
import { browserOf, inAppOf, outOfLine } from '../src/circle/browser';

describe('the browser', () => {
  it('is known by what it says of itself', () => {
    const mac = 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15';
    const chrome = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36';
    expect(browserOf(mac, 0)).toBe('safari');
    expect(browserOf(mac, 5)).toBe('ios');
    expect(browserOf('Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) CriOS/124.0 Mobile Safari/604.1', 5)).toBe('ios');
    expect(browserOf(chrome, 0)).toBe('other');
    expect(browserOf(chrome.replace('X11; Linux x86_64', 'Linux; Android 14; Pixel 8'), 5)).toBe('android');
    expect(browserOf('Mozilla/5.0 (Windows NT 10.0; rv:125.0) Gecko/20100101 Firefox/125.0', 0)).toBe('firefox');
    expect(browserOf('', 0)).toBe('other');
  });

  it('is known inside of an app', () => {
    const phone = 'Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)';
    const android = 'Mozilla/5.0 (Linux; Android 14; Pixel 8; wv) AppleWebKit/537.36 Version/4.0 Chrome/124.0.0.0 Mobile Safari/537.36';
    expect(inAppOf(`${phone} Safari Line/14.4.0`)).toBe('line');
    expect(inAppOf(`${android} Line/14.4.0/IAB`)).toBe('line');
    expect(inAppOf(`${phone} Mobile/21E219 [FBAN/FBIOS;FBAV/456.0.0.0]`)).toBe('other');
    expect(inAppOf(`${phone} Mobile/21E219 Instagram 324.0.0.0`)).toBe('other');
    expect(inAppOf(android)).toBe('other');
    expect(inAppOf(`${phone} Version/17.4 Mobile/15E148 Safari/604.1`)).toBeNull();
    expect(inAppOf(android.replace('; wv', ''))).toBeNull();
    expect(inAppOf('')).toBeNull();
  });

  it('opens the same page with the same key out of LINE', () => {
    expect(outOfLine('https://x.example/join#invite&k=key')).toBe('https://x.example/join?openExternalBrowser=1#invite&k=key');
    expect(outOfLine('https://x.example/join?a=b#i')).toBe('https://x.example/join?a=b&openExternalBrowser=1#i');
  });
});
