/* The colour theme, set before the first paint: the system's, light or dark. Switched by the button of the header. */
"use strict";
(() => {
  const themes = ["system", "light", "dark"];
  const read = () => {
    try {
      return localStorage.getItem("recstage-theme") ?? "system";
    } catch {
      return "system";
    }
  };
  const apply = (theme) => {
    document.documentElement.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (!button) return;
    button.querySelector(".label").textContent = theme;
    button.setAttribute("aria-label", `Colour theme: ${theme}. Switch`);
  };
  apply(read());
  addEventListener("DOMContentLoaded", () => {
    apply(read());
    document.getElementById("theme").addEventListener("click", () => {
      const next = themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % themes.length];
      try {
        localStorage.setItem("recstage-theme", next);
      } catch {} // then it holds for this page
      apply(next);
    });
  });
})();
