// What every page has: the theme button, the keyboard, and the lighting up of one atom in all its places.

const NEXT_THEME = { auto: "light", light: "dark", dark: "auto" };

function themeButton() {
  const button = document.querySelector("button.theme");
  const show = (theme) => {
    button.textContent = theme[0].toUpperCase() + theme.slice(1);
    button.title = `Colours: ${theme}. Press to change.`;
  };
  button.hidden = false;
  show(document.documentElement.dataset.theme ?? "auto");
  button.addEventListener("click", () => {
    const theme = NEXT_THEME[document.documentElement.dataset.theme ?? "auto"];
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // storage is switched off: the choice lasts as long as the page
    }
    show(theme);
  });
}

function isTyping(target) {
  return target.closest("input:not([type=range], [type=radio]), textarea, select") !== null;
}

function moveBetweenHits(step) {
  const links = [...document.querySelectorAll("a.open")];
  if (links.length === 0) return;
  const row = document.activeElement.closest("li.hit, tr");
  const place = links.findIndex((link) => link === document.activeElement || (row !== null && row.contains(link)));
  const next = links[place < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, place + step))];
  next.focus({ preventScroll: true });
  next.closest("li, tr").scrollIntoView({ block: "nearest" });
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && isTyping(event.target)) event.target.blur();
  if (isTyping(event.target)) return;
  if (event.key === "/") {
    const box = document.querySelector("main input[type=search]");
    if (box === null) {
      location.href = "/";
      return;
    }
    event.preventDefault();
    box.focus();
    box.select();
  } else if (event.key === "j") moveBetweenHits(1);
  else if (event.key === "k") moveBetweenHits(-1);
}

function lightUp(event) {
  const atom = event.target.closest?.("[data-atom]")?.dataset.atom;
  for (const lit of document.querySelectorAll(".lit")) lit.classList.remove("lit");
  document.documentElement.classList.toggle("lighting", atom !== undefined);
  if (atom === undefined) return;
  for (const place of document.querySelectorAll(`[data-atom="${CSS.escape(atom)}"]`)) place.classList.add("lit");
}

themeButton();
document.addEventListener("keydown", onKey);
document.addEventListener("pointerover", lightUp);
document.addEventListener("focusin", lightUp);
