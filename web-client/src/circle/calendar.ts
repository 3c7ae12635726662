/** An invitation as a calendar file (RFC 5545) and as a text for LINE or mail. Pure. */

/** How long a circle is entered for; people change it in their calendar. */
const LASTS_MS = 90 * 60_000;
/** Octets of a content line before it is folded (RFC 5545 §3.1). */
const LINE_MAX = 75;

export interface Meeting {
  readonly title: string;
  readonly link: string;
  /** Milliseconds since 1970. */
  readonly begins: number;
}

export function calendarFile({ title, link, begins }: Meeting, now: number): string {
  const lines = [
    'BEGIN:VCALENDAR',
    'VERSION:2.0',
    'PRODID:-//Enza//Enza//EN',
    'BEGIN:VEVENT',
    // The link holds the invite's secret; the name of the event must not.
    `UID:${begins}-${now}@enza`,
    `DTSTAMP:${moment(now)}`,
    `DTSTART:${moment(begins)}`,
    `DTEND:${moment(begins + LASTS_MS)}`,
    `SUMMARY:${escaped(title)}`,
    `DESCRIPTION:${escaped(link)}`,
    `URL:${link}`,
    'END:VEVENT',
    'END:VCALENDAR',
  ];
  return `${lines.map(folded).join('\r\n')}\r\n`;
}

/** 20260115T100000Z */
function moment(at: number): string {
  return new Date(at).toISOString().replace(/[-:]|\.\d+/g, '');
}

function escaped(text: string): string {
  return text.replace(/[\\;,]/g, (character) => `\\${character}`).replace(/\r?\n/g, '\\n');
}

/** Long lines go on after a line break and a space, never within a character. */
function folded(line: string): string {
  const encoder = new TextEncoder();
  let out = '';
  let length = 0;
  for (const character of line) {
    const size = encoder.encode(character).length;
    if (length + size > LINE_MAX) {
      out += '\r\n ';
      length = 1;
    }
    out += character;
    length += size;
  }
  return out;
}
