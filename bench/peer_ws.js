// npm `ws` in `./dev bench wire`, without compression, with bufferutil where it is installed.
//
// The protocol is that of wire_util.h: the port is the argument; each line of stdin is a case,
// "CASE SIZE WINDOW SECONDS"; each is answered with one JSON line. Messages arrive as the Buffer
// that ws makes of a binary frame. Sending stops while more than 1 MiB is buffered.

'use strict';

const readline = require('node:readline');
const WebSocket = require('ws');

const PATHS = { rtt: '/echo', echo: '/echo', send: '/sink', receive: '/source' };
const BUFFERED_MAX = 1 << 20;
const OPTIONS = { binary: true, compress: false };

function check(isRight, what) {
  if (!isRight) {
    console.error(`wrong: ${what}`);
    process.exit(1);
  }
}

function startMeter(wanted) {
  const cpu = process.cpuUsage();
  const start = process.hrtime.bigint();
  const end = start + BigInt(Math.round(wanted.seconds * 1e9));
  const roundTrips = [];
  return {
    roundTrips,
    isOver: () => process.hrtime.bigint() >= end,
    stop(msgs) {
      const seconds = Number(process.hrtime.bigint() - start) / 1e9;
      const used = process.cpuUsage(cpu);
      const line = {
        case: wanted.name, size: wanted.size, window: wanted.window, msgs, seconds,
        cpu_s: (used.user + used.system) / 1e6,
      };
      if (roundTrips.length > 0) {
        roundTrips.sort((a, b) => a - b);
        line.p50_us = roundTrips[Math.floor(roundTrips.length / 2)];
        line.p99_us = roundTrips[Math.floor(roundTrips.length * 0.99)];
      }
      console.log(JSON.stringify(line));
    },
  };
}

function rtt(ws, wanted, payload, meter, done) {
  let sentAt = process.hrtime.bigint();
  ws.on('message', () => {
    const now = process.hrtime.bigint();
    meter.roundTrips.push(Number(now - sentAt) / 1e3);
    if (meter.isOver()) {
      done(meter.roundTrips.length);
      return;
    }
    sentAt = process.hrtime.bigint();
    ws.send(payload, OPTIONS);
  });
  ws.send(payload, OPTIONS);
}

function echo(ws, wanted, payload, meter, done) {
  let msgs = 0;
  let inFlight = wanted.window;
  let isOver = false;
  ws.on('message', (message) => {
    check(message.length === wanted.size, 'size of an echo');
    msgs += 1;
    if (isOver) {
      inFlight -= 1;
      if (inFlight === 0) done(msgs);
      return;
    }
    ws.send(payload, OPTIONS);
    if (msgs % 64 === 0) isOver = meter.isOver();
  });
  for (let i = 0; i < wanted.window; i += 1) ws.send(payload, OPTIONS);
}

function send(ws, wanted, payload, meter, done) {
  let msgs = 0;
  ws.on('message', (message) => {
    check(Number(message.toString()) === msgs, 'count of the sink');
    done(msgs);
  });
  const pump = () => {
    for (let i = 0; i < 64 && ws.bufferedAmount < BUFFERED_MAX; i += 1) {
      ws.send(payload, OPTIONS);
      msgs += 1;
    }
    if (meter.isOver()) ws.send('end');
    else setImmediate(pump);
  };
  pump();
}

function receive(ws, wanted, payload, meter, done) {
  let msgs = 0;
  let isOver = false;
  ws.on('message', (message) => {
    check(message.length === wanted.size, 'size of a message');
    if (isOver) return;
    msgs += 1;
    if (msgs % 64 === 0 && meter.isOver()) {
      isOver = true;
      done(msgs);
    }
  });
  ws.send('go');
}

const RUNS = { rtt, echo, send, receive };

function run(port, wanted) {
  return new Promise((resolve, reject) => {
    const url = `ws://127.0.0.1:${port}${PATHS[wanted.name]}?size=${wanted.size}`;
    const ws = new WebSocket(url, { perMessageDeflate: false, skipUTF8Validation: true });
    const payload = Buffer.alloc(wanted.size, 'abcdefghijklmnopqrstuvwxyz');
    ws.on('error', reject);
    ws.on('close', resolve);
    ws.on('open', () => {
      const meter = startMeter(wanted);
      RUNS[wanted.name](ws, wanted, payload, meter, (msgs) => {
        meter.stop(msgs);
        ws.terminate();
      });
    });
  });
}

async function main() {
  const port = Number(process.argv[2]);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [name, size, window, seconds] = line.split(' ');
    await run(port, { name, size: Number(size), window: Number(window), seconds: Number(seconds) });
  }
}

main();
