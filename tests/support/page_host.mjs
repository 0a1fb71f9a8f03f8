// Runs the dashboard's script in node, against a page of stand-in elements and recorded answers.
// Reads a JSON scenario on stdin:
// {page: URL, base: URL, rounds: [{answers: {path: [status, body]}, give?: token, open?: number}]}.
// Each round lets the page refresh once; prints a JSON list of what the page shows and asked for.
import { readFileSync } from "node:fs";
import vm from "node:vm";

class Element {
  constructor(name) {
    Object.assign(this, { name, children: [], parent: null, text: "", writes: 0, className: "", dataset: {}, open: false, listeners: {} });
    this.classList = { add: (one) => { this.asked = one; }, remove: () => { this.asked = undefined; } };
  }
  get textContent() { return this.children.length ? this.children.map((one) => one.textContent).join("") : this.text; }
  set textContent(text) { this.text = String(text); this.children = []; this.writes += 1; }
  append(...made) { for (const one of made) this.insertBefore(one, null); }
  insertBefore(made, next) {
    const node = typeof made === "string" ? Object.assign(new Element("#text"), { text: made }) : made;
    node.remove();
    node.parent = this;
    node.moves = (node.moves || 0) + 1;
    this.children.splice(next ? this.children.indexOf(next) : this.children.length, 0, node);
  }
  replaceChildren(...made) { this.children = []; this.append(...made); }
  remove() {
    if (this.parent) this.parent.children = this.parent.children.filter((one) => one !== this);
    this.parent = null;
  }
  get firstElementChild() { return this.children[0] || null; }
  get lastElementChild() { return this.children.at(-1) || null; }
  get nextElementSibling() { return this.parent.children[this.parent.children.indexOf(this) + 1] || null; }
  setAttribute() {}
  addEventListener(kind, listener) { this.listeners[kind] = listener; }
}

const scenario = JSON.parse(readFileSync(0, "utf-8"));
const page = readFileSync(process.argv[2], "utf-8");
const byId = {}, storage = {}, sleepers = [];
let answers = scenario.rounds[0].answers, asked = [];
const document = {
  title: "vapo",
  getElementById: (id) => (byId[id] ??= new Element(id)),
  createElement: (name) => new Element(name),
  createElementNS: (_, name) => new Element(name),
};

async function fetch(url, options = {}) {
  const path = url.href.slice(new URL(scenario.base).href.length);
  asked.push({ url: url.href, token: (options.headers || {}).Authorization || "" });
  if (path.startsWith("v1/events")) return new Promise(() => {});
  const [status, body] = answers[path.split("?")[0]];
  return { status, ok: status < 400, url: url.href, json: async () => body };
}

vm.runInNewContext(page.match(/<script>([\s\S]*)<\/script>/)[1], {
  document, fetch, URL, JSON, Map, Promise, console, location: new URL(scenario.page), TextDecoderStream,
  sessionStorage: { getItem: (name) => storage[name] ?? null, setItem: (name, value) => { storage[name] = value; } },
  setTimeout: (resume) => sleepers.push(resume),
});

const settled = () => new Promise((resume) => setTimeout(resume, 20));
const seen = [];
for (const round of scenario.rounds) {
  if (round !== scenario.rounds[0]) asked = [];
  answers = round.answers;
  if (round.give) {
    document.getElementById("token").value = round.give;
    document.getElementById("ask").listeners.submit({ preventDefault() {} });
  }
  if (round.open) document.getElementById("rollouts").children[round.open - 1].open = true;
  sleepers.splice(0).forEach((resume) => resume());
  await settled();
  seen.push({
    asked, title: document.title, awaitsToken: document.getElementById("ask").asked === "asked",
    shown: Object.fromEntries(Object.entries(byId).map(([id, one]) => [id, one.textContent])),
    problems: document.getElementById("problems").children.map((one) => one.textContent),
    rollouts: document.getElementById("rollouts").children.map((one) => ({
      text: one.children[0].textContent, moves: one.moves, writes: one.children[2].writes })),
  });
}
console.log(JSON.stringify(seen));
process.exit(0);
