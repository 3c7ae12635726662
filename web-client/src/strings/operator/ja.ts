/**
 * やさしい日本語。The words of the pages for whoever keeps the server; those that the rest of the page has, too, stand there.
 */
export const ja = {
  'op.home': 'はじめのページへ',
} as const;
