// Steering while the slider moves: the same page is asked for again and its answer put in place of the old one.

const PAUSE = 120; // milliseconds without movement before asking
const form = document.querySelector("#search");
let asking = null;
let timer = 0;

function amounts() {
  return [...document.querySelectorAll("#answer input[type=range]")]
    .map((slider) => [Number(slider.id.slice(1)), Number(slider.value)])
    .filter(([, amount]) => amount !== 0)
    .sort(([a], [b]) => a - b);
}

// The address as the server writes it: what differs from the defaults, in a fixed order.
function address(steer) {
  const given = new FormData(form);
  const parameters = new URLSearchParams();
  parameters.set("q", given.get("q").trim());
  if (given.get("mode") !== "dense") parameters.set("mode", given.get("mode"));
  if (given.get("k") !== "10") parameters.set("k", given.get("k"));
  if (given.get("where").trim()) parameters.set("where", given.get("where").trim());
  for (const mark of ["like", "unlike"]) for (const id of given.getAll(mark)) parameters.append(mark, id);
  const written = steer.map(([atom, amount]) => `${atom}:${amount}`).join(",");
  return `/?${parameters}${written ? `&steer=${written}` : ""}`;
}

function showAmount(slider) {
  const amount = Number(slider.value);
  const shown = amount === 0 ? "0" : `${amount > 0 ? "+" : "−"}${Math.abs(amount).toFixed(2)}`;
  slider.closest("li").querySelector("output").textContent = shown;
  slider.closest("li").classList.toggle("turned", amount !== 0);
}

// Only what changes is replaced: the sliders stay, so that the one being moved keeps its focus.
function replaceWith(fresh) {
  const old = document.querySelector("#answer");
  const open = [...old.querySelectorAll("details.why[open]")].map((d) => d.closest("li").querySelector("a.open").pathname);
  const stages = old.querySelector("details.stages")?.open ?? false;
  old.querySelector(".found").replaceWith(document.adoptNode(fresh.querySelector(".found")));
  if (stages) old.querySelector("details.stages")?.setAttribute("open", "");
  old.querySelector(".knobs .do")?.replaceWith(document.adoptNode(fresh.querySelector(".knobs .do")));
  for (const link of old.querySelectorAll("a.open")) {
    if (open.includes(link.pathname)) link.closest("li").querySelector("details.why")?.setAttribute("open", "");
  }
  for (const slider of fresh.querySelectorAll("input[type=range]")) {
    const same = document.getElementById(slider.id);
    if (same !== null && same !== document.activeElement) same.value = slider.value;
  }
}

async function ask(url) {
  asking?.abort();
  asking = new AbortController();
  const answer = document.querySelector("#answer");
  answer.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(url, { signal: asking.signal });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.querySelector("#answer");
    if (fresh === null) {
      location.href = url; // an error has a page of its own
      return;
    }
    replaceWith(fresh);
    history.replaceState(null, "", url);
    answer.removeAttribute("aria-busy");
  } catch (error) {
    if (error.name === "AbortError") return; // a later movement has asked again
    answer.removeAttribute("aria-busy");
    answer.querySelector(".summary").textContent = "The server does not answer.";
  }
}

document.addEventListener("input", (event) => {
  if (!event.target.matches("#answer input[type=range]")) return;
  showAmount(event.target);
  clearTimeout(timer);
  timer = setTimeout(() => ask(address(amounts())), PAUSE);
});

document.addEventListener("click", (event) => {
  const reset = event.target.closest("#answer a.reset");
  if (reset === null || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  for (const slider of document.querySelectorAll("#answer input[type=range]")) {
    slider.value = 0;
    showAmount(slider);
  }
  ask(address([]));
});

// A double click on a name sets its slider back to the middle.
document.addEventListener("dblclick", (event) => {
  const slider = event.target.closest("li.knob")?.querySelector("input[type=range]");
  if (!slider) return;
  slider.value = 0;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
});

document.documentElement.classList.add("steering"); // hides the button that only a page without scripts needs

// On a narrow screen the sliders stand above the hits, so they wait to be opened.
if (matchMedia("(max-width: 60rem)").matches && !location.search.includes("steer=")) {
  document.querySelector(".knobs details")?.removeAttribute("open");
}
