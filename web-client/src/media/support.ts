/**
 * Whether this browser can take part at all, and whether this page may use devices.
 */

export function canTakePart(): boolean {
  return (
    typeof RTCPeerConnection === 'function' &&
    typeof WebSocket === 'function' &&
    typeof MediaStream === 'function' &&
    'addTransceiver' in RTCPeerConnection.prototype &&
    typeof structuredClone === 'function'
  );
}

/** Whether sound and picture can be encrypted from end to end: Chrome 86, Safari 15.4, Firefox 117. */
export function canSeal(): boolean {
  return (
    window.isSecureContext &&
    ('RTCRtpScriptTransform' in window ||
      (typeof RTCRtpSender === 'function' && 'createEncodedStreams' in RTCRtpSender.prototype))
  );
}

/** Browsers keep cameras and microphones from pages that did not come over https (or from this very machine). */
export function mayUseDevices(): boolean {
  // The DOM types promise `mediaDevices` everywhere; on an insecure page it is not there.
  return window.isSecureContext && (navigator as Partial<Navigator>).mediaDevices !== undefined;
}

/** Phones have no way to show their screen to a page. */
export function canShareScreen(): boolean {
  return mayUseDevices() && typeof (navigator.mediaDevices as Partial<MediaDevices>).getDisplayMedia === 'function';
}
