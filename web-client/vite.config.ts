import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  plugins: [svelte()],
  build: {
    // What the oldest browsers that can take part (Safari 15.4, Chrome 100, Firefox 100) understand.
    target: ['es2020', 'safari15', 'chrome100', 'firefox100'],
    // Nothing as a data: address, so that `default-src 'self'` is enough for the whole page.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    rolldownOptions: {
      output: {
        // Loaded only when somebody hides their room; the budget counts them apart by their name.
        assetFileNames: ({ names }) =>
          names.some((name) => name.startsWith('selfie_segmentation')) ? 'assets/background-[name]-[hash][extname]' : 'assets/[name]-[hash][extname]',
      },
    },
    // livekit-client is one file of this size, loaded while people look at their own picture.
    chunkSizeWarningLimit: 700,
  },
  server: {
    // `npm run dev` beside a running `enza serve`.
    proxy: { '/api': 'http://localhost:7880', '/rtc': { target: 'http://localhost:7880', ws: true } },
  },
  test: {
    include: ['tests/**/*.test.ts'],
    environment: 'node',
  },
});
