// A server of npm `ws` that does what a message tells it to do; see commanded_server.py.
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const { performance } = require('node:perf_hooks');
const { parseArgs } = require('node:util');
const { WebSocketServer } = require('ws');

const { values } = parseArgs({ options: { pem: { type: 'string' } } });
const codes = [];

function ping(socket) {
  const began = performance.now();
  socket.once('pong', () => socket.send(`pong in ${(performance.now() - began).toFixed(1)}`));
  socket.ping('are you there?');
}

function fragments(socket, { text, times = 1, sizes }) {
  let left = Buffer.from(text.repeat(times));
  for (const size of sizes) {
    socket.send(left.subarray(0, size), { fin: false, binary: false });
    left = left.subarray(size);
  }
  socket.send(left, { fin: true, binary: false });
}

function obey(socket, order) {
  switch (order.do) {
    case 'ping':
      return ping(socket);
    case 'fragments':
      return fragments(socket, order);
    case 'codes':
      return socket.send(JSON.stringify(codes));
    default:
      return socket.close(order.code, order.reason);
  }
}

const pem = values.pem && fs.readFileSync(values.pem);
const server = pem ? https.createServer({ key: pem, cert: pem }) : http.createServer();
const sockets = new WebSocketServer({ server, perMessageDeflate: false });
sockets.on('connection', (socket) => {
  socket.on('error', () => socket.terminate());
  socket.on('close', (code) => codes.push(code));
  socket.on('message', (data, isBinary) => {
    if (!isBinary && data.toString().startsWith('{"do"')) obey(socket, JSON.parse(data));
    else socket.send(data, { binary: isBinary });
  });
});
server.listen(0, '127.0.0.1', () => console.log('ready', server.address().port));
