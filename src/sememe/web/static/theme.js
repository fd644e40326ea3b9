// Loaded before the page is drawn, so that a remembered choice does not flash.
const remembered = (() => {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null; // storage is switched off: the system's choice holds
  }
})();
if (remembered === "light" || remembered === "dark") document.documentElement.dataset.theme = remembered;
