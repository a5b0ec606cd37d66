// Socket.IO in `./dev bench delivery`: `server PORT`, or `client URL BURST RATE SECONDS`.
//
// As safe as its options make it: the server has connectionStateRecovery, the client `retries` and
// `ackTimeout`, so that an emit is repeated until it is acknowledged. What the handler has seen is
// printed as `got NUMBER SECONDS`, what was handed to the client as `sent NUMBER SECONDS`.
"use strict";

const [role, ...args] = process.argv.slice(2);
const now = () => Number(process.hrtime.bigint()) / 1e9;
const say = (word, number) => process.stdout.write(`${word} ${number} ${now()}\n`);

function serve(port) {
  const { Server } = require("socket.io");
  const io = new Server({ connectionStateRecovery: {}, transports: ["websocket"] });
  io.on("connection", (socket) => {
    socket.on("message", (number, _payload, done) => {
      say("got", number);
      done();
    });
  });
  io.listen(port);
  io.httpServer.on("listening", () => process.stdout.write("ready\n"));
}

function send(url, burst, rate, seconds) {
  const { io } = require("socket.io-client");
  const socket = io(url, { transports: ["websocket"], retries: 1000, ackTimeout: 2000 });
  const payload = "x".repeat(256);
  let number = 0;
  let open = 0;
  const post = (acknowledged) => {
    number += 1;
    open += 1;
    say("sent", number);
    socket.emit("message", number, payload, () => {
      open -= 1;
      acknowledged();
    });
  };
  const finish = () => {
    if (open > 0) return;
    process.stdout.write("done\n");
    process.exit(0);
  };
  socket.once("connect", () => {
    const paced = () => {
      if (open > 0) return;
      process.stdout.write("burst\n");
      process.stdin.once("data", () => {
        const end = now() + seconds;
        const timer = setInterval(() => {
          post(() => now() >= end && finish());
          if (now() >= end) clearInterval(timer);
        }, 1000 / rate);
      });
    };
    for (let i = 0; i < burst; i += 1) post(paced);
  });
}

if (role === "server") serve(Number(args[0]));
else send(args[0], ...args.slice(1).map(Number));
