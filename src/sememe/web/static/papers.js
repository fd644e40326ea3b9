// Marks without leaving the page, and from the keyboard. Without this script the same forms are sent and lead back.

const OPPOSITE = { liked: "disliked", disliked: "liked" };
const KEYS = { s: "saved", u: "read", "+": "liked", "=": "liked", "-": "disliked", h: "hidden" };

const buttonOf = (form, kind) => form.querySelector(`button.mark-${kind}`);

function show(form, marks) {
  for (const button of form.querySelectorAll("button")) {
    const kind = button.value.split(":")[0];
    const on = marks.includes(kind);
    button.setAttribute("aria-pressed", String(on));
    button.value = `${kind}:${on ? "off" : "on"}`;
    button.querySelector(".word").textContent = on ? button.dataset.on : button.dataset.off;
  }
  const paper = form.closest(".paper");
  paper.classList.toggle("is-read", marks.includes("read"));
  paper.classList.toggle("is-hidden", marks.includes("hidden"));
}

const marksOf = (form) =>
  [...form.querySelectorAll('button[aria-pressed="true"]')].map((button) => button.value.split(":")[0]);

async function send(form, set, { keepalive = false } = {}) {
  const [kind, state] = set.split(":");
  const before = marksOf(form);
  const others = before.filter((mark) => mark !== kind && (state === "off" || mark !== OPPOSITE[kind]));
  show(form, state === "on" ? [...others, kind] : others); // at once; taken back if the server refuses
  const fields = Object.fromEntries([...new FormData(form)].filter(([name]) => name !== "back"));
  try {
    const response = await fetch(form.action, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ...fields, set }),
      keepalive,
    });
    if (!response.ok) throw new Error(String(response.status));
    show(form, (await response.json()).marks);
  } catch {
    if (keepalive) return; // the page is being left
    show(form, before);
    say("That could not be kept. Open the page again.");
  }
}

function say(text) {
  let box = document.querySelector("#said");
  if (box === null) {
    box = document.createElement("p");
    box.id = "said";
    box.setAttribute("role", "status");
    document.body.append(box);
  }
  box.textContent = text;
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("form.marks") || !event.submitter) return;
  event.preventDefault();
  send(event.target, event.submitter.value);
});

// The paper that the keyboard is at: the one with the focus, else the only one of the page.
function current() {
  const here = document.activeElement.closest(".paper") ?? document.querySelector(".paper.single");
  return here?.querySelector("form.marks") ?? null;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest("input, textarea, select") !== null) return;
  const form = KEYS[event.key] === undefined ? null : current();
  const button = form && buttonOf(form, KEYS[event.key]);
  if (!button) return;
  event.preventDefault();
  send(form, button.value);
});

// A paper that is opened from a list has been read.
document.addEventListener("click", (event) => {
  const form = event.target.closest("a.open")?.closest(".paper")?.querySelector("form.marks");
  const button = form && buttonOf(form, "read");
  if (button?.getAttribute("aria-pressed") === "false") send(form, button.value, { keepalive: true });
});
