import { defineConfig } from "vite";

// `npm run dev` serves the page and changes it as its files change; the program answers for the rest.
const server = process.env.SERVER ?? "http://127.0.0.1:3002";

export default defineConfig({
  esbuild: { jsx: "automatic" },
  build: {
    target: "es2022",
    // Everything is a file: the policy of the pages lets nothing in that is written into them.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: {
      // The program answers pages of its own host only, so what comes from here is told as such.
      "/api": { target: server, changeOrigin: false },
      "/graphql": { target: server, changeOrigin: false },
      "/socket.io": { target: server, ws: true, changeOrigin: false },
    },
  },
});
