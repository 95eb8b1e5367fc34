import { defineConfig } from "vite";

// File names are stable, because dist is committed; the server gives each an
// ETag. Nothing is inlined, because the content security policy forbids it.
export default defineConfig({
  base: "/",
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    rollupOptions: {
      output: { entryFileNames: "app.js", chunkFileNames: "[name].js", assetFileNames: "app[extname]" },
    },
  },
});
