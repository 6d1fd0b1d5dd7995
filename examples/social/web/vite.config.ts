import { defineConfig } from "vite";

// `npm run dev` serves the page and changes it as its files change; the program answers for the rest.
const target = process.env.SERVER ?? "http://127.0.0.1:3002";
// With the host that the browser asked: the program answers pages of its own host only.
const server = { target, changeOrigin: false };

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
      "/api": server,
      "/graphql": server,
      "/socket.io": { ...server, ws: true },
    },
  },
});
