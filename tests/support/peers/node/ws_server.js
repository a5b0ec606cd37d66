// An echo server written with npm `ws`: node ws_server.js [--port N] [--pem FILE] [--deflate]
// Prints `ready PORT`. With --pem (key and chain in one file) it speaks wss.
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const { parseArgs } = require('node:util');
const { WebSocketServer } = require('ws');

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    pem: { type: 'string' },
    deflate: { type: 'boolean', default: false },
  },
});

function createServer(pemFile) {
  if (!pemFile) return http.createServer();
  const pem = fs.readFileSync(pemFile);
  return https.createServer({ key: pem, cert: pem });
}

const server = createServer(values.pem);
const sockets = new WebSocketServer({ server, perMessageDeflate: values.deflate });
sockets.on('connection', (socket) => {
  socket.on('error', () => socket.terminate());
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
server.listen(Number(values.port), '127.0.0.1', () => {
  console.log('ready', server.address().port);
});
