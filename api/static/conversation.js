// One conversation in one room, through whichever gateway is there: `parvis.v1.json` as docs/protocol.md has it.
// Nothing is lost and nothing is shown twice: the position of the last event is named at each join, events at or below it
// are dropped, and what has no outcome is sent again with the same id.  `kept` is what `view` last saved for this room.

const STOP_BELOW_3000 = [1002, 1003, 1007, 1008, 1009, 1010];
// After a reload the screen is empty: REPLAYED events before the position are read once more.
const [PENDING_MAX, PING_SLACK_MS, REPLAYED] = [50, 10_000, 50];
const mayReconnect = (code) => code < 3000 ? !STOP_BELOW_3000.includes(code) : code <= 3499 || (code >= 4000 && code <= 4499);

export function converse(urls, room, who, view, kept) {
  let current = null; // The socket that is in the room.
  let joining = null; // The one on its way there: after a goaway both exist for a moment.
  let position = kept?.epoch ? { epoch: kept.epoch, offset: Math.max(0, kept.offset - REPLAYED) } : null;
  let head = {}, author = "", pingMs = 25_000, heardAt = 0;
  let turn = Math.floor(Math.random() * urls.length), attempt = 0, retryAfter = 0, timer = 0, number = kept?.number ?? 0;
  const run = kept?.run ?? [...crypto.getRandomValues(new Uint32Array(3))].map((n) => n.toString(36)).join("-");
  const pending = new Map(); // Commands without an outcome, by number, in the order they were given.

  const send = (socket, message) => socket?.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));
  const resend = ({ place, ...command }) => place || send(current, command);
  const join = () => position ? { room, since: { ...position, chain: head.offset === position.offset ? head.chain : "" } } : { room };

  function open() {
    const socket = new WebSocket(urls[turn++ % urls.length], "parvis.v1.json");
    [timer, joining, heardAt] = [0, socket, performance.now()];
    if (!current) view.state("connecting", "Connecting …");
    socket.onopen = () => send(socket, { t: "hello", v: 1, client: "parvis-page/1", ...who, joins: [join()] });
    socket.onmessage = ({ data }) => hear(socket, JSON.parse(data));
    socket.onclose = ({ code, reason }) => ended(socket, code, reason);
  }

  function ended(socket, code, reason) {
    if (socket === current) current = null;
    if (socket === joining) joining = null;
    if (!mayReconnect(code)) return stop(reason || `The connection was closed with code ${code}.`);
    if (joining || timer) return;
    // Full jitter: 0.5 to 20 s, or 1 to 10 s when not even a handshake came through (then no protocol was chosen).
    const [base, cap] = socket.protocol ? [500, 20_000] : [1_000, 10_000];
    wait(Math.max(retryAfter, Math.min(cap, base + Math.random() * base * 2 ** Math.min(attempt++, 10))));
  }

  function wait(delay) {
    clearTimeout(timer);
    timer = setTimeout(open, delay);
    if (!current) view.state("waiting", `No connection. Trying again in ${Math.ceil(delay / 1000)} s …`);
  }

  function abandon(socket) {
    Object.assign(socket ?? {}, { onopen: null, onmessage: null, onclose: null });
    socket?.close(1000);
  }

  function stop(sentence) {
    clearTimeout(timer);
    clearInterval(pulse);
    for (const socket of [current, joining]) abandon(socket);
    view.state("stopped", sentence);
  }

  // A dead network closes nothing: silence beyond the announced pings is the end of a connection.
  const pulse = setInterval(() => {
    view.save({ ...position, run, number, pending: [...pending.values()] });
    const socket = current ?? joining;
    if (!socket || performance.now() - heardAt < pingMs + PING_SLACK_MS) return;
    abandon(socket);
    ended(socket, 1006, "");
  }, 1_000);

  function hear(socket, message) {
    heardAt = performance.now();
    if (message.t === "ping") send(socket, { t: "pong", seen: { [room]: position?.offset ?? 0 } });
    else if (socket === joining) hearAtTheDoor(socket, message);
    else if (socket === current) heard[message.t]?.(message);
  }

  function hearAtTheDoor(socket, message) {
    if (message.t === "welcome") {
      ({ session: who.session, guest: who.guest, author, ping_ms: pingMs } = message);
      view.welcome(message);
      hearAtTheDoor(socket, message.joins[0]);
    } else if (message.t === "joined") {
      enter(socket, message);
    } else if (message.t === "refused" && message.temporary) {
      retryAfter = message.retry_after_ms;
      if (!current) view.state("connecting", message.message);
      if (message.room) setTimeout(() => send(socket, { t: "join", n: 0, ...join() }), retryAfter);
    } else if (message.t === "refused") stop(message.message);
  }

  // In the room: only now the old connection is left, and what has no outcome is sent again.
  function enter(socket, { epoch, offset, since, chain = "", reason, present }) {
    abandon(current);
    [current, joining, attempt, retryAfter, head] = [socket, null, 0, 0, { offset, chain }];
    if (position && (position.epoch !== epoch || reason === "epoch")) heard.reset({ epoch, offset: since, reason });
    position ??= { epoch, offset: since };
    passOver(since, reason);
    view.state("open", "Connected");
    heard.count({ present });
    pending.forEach(resend);
  }

  // What was not sent is told: exactly what lies behind the position, up to `end`.
  function passOver(end, reason) {
    if (end <= position.offset) return;
    view.skipped(position.offset + 1, end, reason);
    position.offset = end;
    settle();
  }

  const heard = {
    event(event) {
      if (event.offset <= position.offset) return;
      passOver(event.offset - 1);
      position.offset = event.offset;
      settle(event.by === author ? event.id : "");
      view.event(event);
    },
    skipped: ({ last }) => passOver(last),
    reset({ epoch, offset, reason }) {
      position = { epoch, offset };
      view.reset(reason);
      settle();
    },
    // Nothing to see: the old connection serves until the new one is in the room.
    goaway({ retry_after_ms }) {
      if (!joining) wait(retry_after_ms);
    },
    hide: ({ offset }) => view.hide(offset),
    count: ({ present = 0 }) => view.count(present),
    stale: ({ stale }) => view.state(stale ? "stale" : "open", stale ? "The room is out of reach." : "Connected"),
    ack({ n, epoch, offset }) {
      if (pending.has(n)) pending.get(n).place = { epoch, offset };
      settle();
    },
    unknown({ n, message = "No answer yet. Sending it again …", retry_after_ms = 1_000 }) {
      view.notice(message);
      setTimeout(() => pending.has(n) && resend(pending.get(n)), retry_after_ms * (1 + Math.random()));
    },
    refused(refusal) {
      const command = pending.get(refusal.n);
      if (command && refusal.temporary) return heard.unknown(refusal);
      pending.delete(refusal.n);
      view.refused(refusal.message, command);
    },
  };

  function submit(command) {
    pending.set(command.n, command);
    view.pending(command);
    resend(command);
  }

  // A line is pending until its event is there: the one with `seenId`, or one at or before the position.
  function settle(seenId) {
    for (const command of pending.values()) {
      const { n, id, place } = command;
      if (id !== seenId && !(place && (place.epoch !== position.epoch || place.offset <= position.offset))) continue;
      pending.delete(n);
      view.settled(command);
    }
  }

  kept?.pending.forEach(submit);
  open();
  const say = (t, fields) => pending.size < PENDING_MAX && submit({ t, n: ++number, room, id: `${run}.${number}`, ...fields });
  return { say, hurry: () => timer && wait(0) };
}
