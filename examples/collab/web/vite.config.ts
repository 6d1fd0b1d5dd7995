import { defineConfig, loadEnv } from "vite";

// `npm run dev` serves the page with what changes in it at once, and passes the rest on to the server.
export default defineConfig(({ mode }) => {
  const target = loadEnv(mode, ".", "").SERVER ?? "http://127.0.0.1:3001";
  return {
    esbuild: { jsx: "automatic" },
    server: {
      proxy: {
        "/api": { target },
        "/socket.io": { target, ws: true },
      },
    },
    // The policy of the server lets in files of its own only, so nothing is put into the page itself.
    build: { assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  };
});
