// A classic script in the head: it runs before the first paint, so a remembered theme never
// flashes the other one.
(() => {
  const KEY = "roomful.theme";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;

  const systemTheme = () => (dark.matches ? "dark" : "light");
  const currentTheme = () => root.dataset.theme ?? systemTheme();

  // Storage throws where the browser blocks it; the toggle still works for this visit.
  function recall() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null;
    }
  }

  function remember(theme) {
    try {
      if (theme) localStorage.setItem(KEY, theme);
      else localStorage.removeItem(KEY);
    } catch {}
  }

  function label(button) {
    const other = currentTheme() === "dark" ? "light" : "dark";
    button.setAttribute("aria-label", `Switch to the ${other} theme`);
    button.title = `Switch to the ${other} theme`;
  }

  // Toggling back to what the system asks for also goes back to following it.
  function toggle(button) {
    const theme = currentTheme() === "dark" ? "light" : "dark";
    const follows = theme === systemTheme();
    if (follows) delete root.dataset.theme;
    else root.dataset.theme = theme;
    remember(follows ? null : theme);
    label(button);
  }

  const stored = recall();
  if (stored === "light" || stored === "dark") root.dataset.theme = stored;

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme-toggle");
    label(button);
    button.addEventListener("click", () => toggle(button));
    dark.addEventListener("change", () => label(button));
  });
})();
