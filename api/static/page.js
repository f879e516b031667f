// The page: a name, a room, and what is said in it.  Text reaches the screen as text, never as markup.
import { converse } from "./conversation.js";

const [LINES_MAX, RUN_MS] = [500, 300_000]; // Lines of one author within five minutes stand under one name.
const at = (id) => document.getElementById(id);
const [log, scroll, text, notice, unread] = ["log", "scroll", "text", "notice", "unread"].map(at);
const shown = new Map(); // Offset to its line on the screen.
const config = fetch("/config.json").then((answer) => answer.json());
const waiting = new Map(); // Number of a command to the line that shows it.
let room, talk, author, editing = 0, unseen = 0, isAtBottom = true, pinned = 0;

function remember(area, key, value) {
  try {
    if (value === undefined) return JSON.parse(window[area].getItem(`parvis.${key}`));
    window[area].setItem(`parvis.${key}`, JSON.stringify(value));
  } catch { return null; } // A browser may forbid storage: then the page forgets, and works.
}

function append(parent, kind, said) {
  const line = at(kind).content.firstElementChild.cloneNode(true);
  line.querySelector("p").textContent = said;
  parent.append(line);
  const oldest = log.childElementCount > LINES_MAX ? log.firstElementChild : null;
  shown.delete(Number(oldest?.dataset.offset));
  oldest?.remove();
  requestAnimationFrame(() => isAtBottom && scroll.scrollTo(0, (pinned = scroll.scrollHeight)));
  return line;
}

function message({ offset, at: ms, by = "", name = "somebody", text: said = "", removed }) {
  const line = append(log, "line", said);
  const [face, nick, time] = ["span", "bdi", "time"].map((tag) => line.querySelector(tag));
  const previous = line.previousElementSibling?.dataset ?? {};
  [face.textContent, nick.textContent] = [[...name][0].toUpperCase(), name];
  time.textContent = new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  line.style.setProperty("--hue", [...by].reduce((sum, letter) => (sum + letter.codePointAt(0)) * 137 % 360, 0));
  line.classList.toggle("more", previous.by === by && ms - previous.at < RUN_MS);
  line.classList.toggle("mine", by === author);
  Object.assign(line.dataset, { offset, by, at: ms });
  shown.set(offset, line);
  unseen = isAtBottom ? 0 : unseen + 1;
  [unread.hidden, unread.textContent] = [isAtBottom, `${unseen} new ↓`];
  if (removed) view.hide(offset);
}

function rewrite(offset, said, mark) {
  const line = shown.get(offset);
  if (!line || line.classList.contains("gone")) return;
  line.querySelector("p").textContent = said;
  line.classList.add(mark);
}

const view = {
  state: (kind, sentence) => [at("state").className, at("state").textContent, at("again").hidden] = [kind, sentence, kind !== "stopped"],
  welcome: (me) => { author = me.author; remember("localStorage", "guest", me.guest); },
  count: (present) => at("count").textContent = present ? `${present} here` : "",
  notice: (sentence) => notice.textContent = sentence,
  event(event) {
    if (event.kind === "message") message(event);
    else if (event.kind === "edit" && !event.removed) rewrite(event.target, event.text, "edited");
    else if (event.kind === "delete") view.hide(event.target);
  },
  hide: (offset) => rewrite(offset, "removed", "gone"),
  skipped(first, last, reason = "too many at once") {
    append(log, "remark", `${last - first + 1} lines are not shown: ${first} to ${last} (${reason}).`);
  },
  reset(reason = "") {
    for (const line of shown.values()) line.classList.remove("mine");
    shown.clear();
    append(log, "remark", `This room's record begins anew here (${reason || "epoch"}).`);
  },
  pending(command) {
    const line = command.t === "publish" ? append(at("waiting"), "remark", command.text) : shown.get(command.target);
    line?.classList.add("pending");
    waiting.set(command.n, line);
  },
  settled({ n, t }) {
    waiting.get(n)?.classList.remove("pending");
    if (t === "publish") waiting.get(n).remove();
    waiting.delete(n);
    notice.textContent = "";
  },
  refused(sentence, command) {
    if (command) view.settled(command);
    [notice.textContent, text.value] = [sentence, text.value || (command?.text ?? "")];
  },
  save: (kept) => remember("sessionStorage", `room.${room}`, kept),
};

async function enter(event) {
  event.preventDefault();
  const [name, guest] = [at("name").value.trim(), remember("localStorage", "guest") ?? ""];
  room = at("room").value.trim().toLowerCase().replace(/^[^/]*$/, "square/$&");
  remember("localStorage", "name", name);
  location.hash = document.title = at("title").textContent = room;
  [at("entrance").hidden, at("chat").hidden] = [true, false];
  talk = converse((await config).websocket_urls, room, { name, guest }, view, remember("sessionStorage", `room.${room}`));
  text.focus();
}

function edit(offset) {
  text.value = offset ? shown.get(offset).querySelector("p").textContent : "";
  at("editing").hidden = !(editing = offset);
  text.focus();
}

function speak(event) {
  event.preventDefault();
  const said = text.value.trim();
  if (!said) return;
  const taken = talk.say(editing ? "edit" : "publish", editing ? { target: editing, text: said } : { text: said });
  taken === false ? view.notice("Too much is waiting to be sent.") : edit(0);
}

[at("entrance").onsubmit, at("composer").onsubmit, at("stop-editing").onclick] = [enter, speak, () => edit(0)];
[at("again").onclick, at("leave").onclick] = [() => location.reload(), () => location.assign("/")];
unread.onclick = () => scroll.scrollTo(0, scroll.scrollHeight);
addEventListener("online", () => talk?.hurry());
scroll.onscroll = () => { // Against the height it last followed to: lines that came since are no step of the reader's.
  isAtBottom = (isAtBottom ? pinned : scroll.scrollHeight) - scroll.scrollTop - scroll.clientHeight < 60;
  unread.hidden ||= isAtBottom;
};
text.onkeydown = (event) => {
  if (event.key === "Escape") edit(0);
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) speak(event);
};
log.onclick = ({ target }) => {
  const offset = Number(target.closest("li")?.dataset.offset);
  if (target.name === "edit") edit(offset);
  if (target.name === "delete" && confirm("Remove this line for everyone?")) talk.say("delete", { target: offset });
};
at("name").value = remember("localStorage", "name") ?? "";
at("room").value = decodeURIComponent(location.hash.slice(1)) || "square/main";
