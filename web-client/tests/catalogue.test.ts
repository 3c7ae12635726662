import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { reactions } from '../src/circle/reactions';
import { marks } from '../src/circle/person';
import { REASONS } from '../src/operator/reasons';
import { pickLanguage, wordsOf } from '../src/strings';
import { en } from '../src/strings/en';
import { ja } from '../src/strings/ja';
import { en as operatorEn } from '../src/strings/operator/en';
import { ja as operatorJa } from '../src/strings/operator/ja';
import { en as outsideEn } from '../src/strings/outside/en';
import { ja as outsideJa } from '../src/strings/outside/ja';

const source = join(import.meta.dirname, '..', 'src');

function filesUnder(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(ts|svelte)$/.test(file))
    .map((file) => join(folder, file));
}

function slots(text: string): string[] {
  return [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? '').sort();
}

const pairs: readonly (readonly [Readonly<Record<string, string>>, Readonly<Record<string, string>>])[] = [[ja, en], [operatorJa, operatorEn], [outsideJa, outsideEn]];

describe('catalogues', () => {
  it('have the same keys, all of them filled', () => {
    for (const [japanese, english] of pairs) {
      expect(Object.keys(english).sort()).toEqual(Object.keys(japanese).sort());
      for (const [key, text] of [...Object.entries(japanese), ...Object.entries(english)]) {
        expect(text.trim(), key).not.toBe('');
      }
    }
  });

  it('use the same slots in every language', () => {
    for (const [japanese, english] of pairs) {
      for (const [key, text] of Object.entries(japanese)) expect(slots(english[key] ?? ''), key).toEqual(slots(text));
    }
  });

  it('share no key, so that each word stands in one place', () => {
    expect(Object.keys({ ...operatorJa, ...outsideJa }).filter((key) => key in ja)).toEqual([]);
  });

  it('hold no key the page does not use', () => {
    const code = filesUnder(source)
      .filter((file) => !file.includes('strings'))
      .map((file) => readFileSync(file, 'utf8'))
      .join('\n');
    // Keys built from parts: `set.pic.${pictures}.b`, `mark.${mark}`, `e.${kind}`, `e.${short}.${why}`, `e.${why}.b`, `name.${problem}`, `react.${name}`, `seal.${why}`, `seal.${whose}.b`, `word.said.${said}`,
    // `deed.${deed}`, `deeds.${deed}`, `out.is.${situation}`, `out.${rating}`, `out.${device}.${state}`, `op.why.${known}`.
    const built = [
      ...marks.map((mark) => `mark.${mark}`),
      ...['ios', 'safari', 'android', 'firefox'].map((browser) => `e.denied.${browser}.b`),
      ...['mute', 'stop', 'lower-hands', 'remove', 'ban', 'remove-text'].flatMap((deed) => [`deed.${deed}`, `deeds.${deed}`]),
      ...['missing', 'odd'].map((problem) => `name.${problem}`),
      ...['set', 'gone', 'failed'].map((said) => `word.said.${said}`),
      ...['no-key', 'no-cipher'].flatMap((why) => [`seal.${why}`, `seal.${why}.b`]),
      ...['mine', 'either', 'theirs'].map((whose) => `seal.${whose}.b`),
      ...REASONS.map((why) => `op.why.${why}`),
      ...reactions.map(({ name }) => `react.${name}`),
      ...(code.match(/export type Situation =([^;]*);/)?.[1]?.match(/[a-z-]+/g) ?? []).map((situation) => `out.is.${situation}`),
      ...['ok', 'warn', 'bad', 'unknown'].map((rating) => `out.${rating}`),
      ...['microphone', 'camera'].flatMap((device) => [`out.${device}`, ...['granted', 'denied', 'none', 'none.do', 'unknown'].map((state) => `out.${device}.${state}`)]),
      ...['all', 'saver', 'none'].map((pictures) => `set.pic.${pictures}.b`),
      ...['none', 'unplugged', 'denied', 'busy', 'failed', 'background'].flatMap((why) => [`e.mic.${why}`, `e.cam.${why}`, `e.both.${why}`, `e.${why}.b`]),
      ...(code.match(/const icons: Readonly<Record<FaultKind[\s\S]*?\};/)?.[0].match(/^ {4}'?([a-z-]+)'?:/gm) ?? [])
        .map((line) => line.replace(/[\s':]/g, ''))
        .flatMap((kind) => [`e.${kind}`, `e.${kind}.b`]),
    ];
    const unused = [...Object.keys(ja), ...Object.keys(operatorJa), ...Object.keys(outsideJa)].filter((key) => !code.includes(`'${key}'`) && !built.includes(key));
    expect(unused).toEqual([]);
  });

  it('leave no Japanese or English sentence in a component', () => {
    // Wordmark and language names are the same in every language.
    const allowed = /日本語|円座|English|Enza/g;
    for (const file of filesUnder(join(source, 'view')).filter((name) => name.endsWith('.svelte'))) {
      const markup = readFileSync(file, 'utf8')
        .replace(/<script[\s\S]*?<\/script>/g, '')
        .replace(/<!--[\s\S]*?-->/g, '')
        .replace(allowed, '');
      expect(markup, file).not.toMatch(/[\u3040-\u30ff\u4e00-\u9fff]/);
      const text = markup.replace(/\{[^{}]*(\{[^{}]*\}[^{}]*)*\}/g, '').replace(/<[^>]*>/g, ' ');
      expect(text.match(/[A-Z][a-z]+ [a-z]+/g) ?? [], file).toEqual([]);
    }
  });

  it('fill slots and leave unknown braces alone', () => {
    expect(wordsOf(ja)('count', { n: 7 })).toBe('7人');
    expect(wordsOf(en)('join.room', { room: '{n}' })).toBe('Invitation to {n}');
  });
});

describe('language', () => {
  it('is the kept one, else the first wanted one that exists, else English', () => {
    expect(pickLanguage('ja', ['en'])).toBe('ja');
    expect(pickLanguage('xx', ['fr', 'ja-JP', 'en'])).toBe('ja');
    expect(pickLanguage(null, ['fr', 'en-GB', 'ja'])).toBe('en');
    expect(pickLanguage(null, ['fr'])).toBe('en');
    expect(pickLanguage(null, ['jam'])).toBe('en');
  });
});
