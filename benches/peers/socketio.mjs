// A plain npm socket.io server, written as one writes rooms and event sync with it: the peer of the hub in the
// part `live` of the benchmarks. It keeps nothing on disk.
// Environment: PEER_MODULES (directory whose node_modules holds socket.io), REDIS_PORT (several workers).
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const peer = createRequire(`${process.env.PEER_MODULES}/`);
const { Server } = peer('socket.io');

let adapter;
if (process.env.REDIS_PORT) {
  const publisher = peer('redis').createClient({ url: `redis://127.0.0.1:${process.env.REDIS_PORT}` });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  adapter = peer('@socket.io/redis-adapter').createAdapter(publisher, subscriber);
}

let seq = 0;
let io;
const emit = ({ event, reason, room, id, data }) => {
  seq = Math.max(seq + 1, Date.now());
  io.to(room).emit(event, { reason, seq, worker: process.pid, scope: `room:${room}`, id, data });
};

const http = createServer((request, response) => {
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', () => {
    emit(JSON.parse(Buffer.concat(pieces)));
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ status: 'ok', seq }));
  });
});

io = new Server(http, { maxHttpBufferSize: 64 << 20, ...(adapter && { adapter }) });
const stored = [];
io.on('connection', (socket) => {
  socket.on('files:join', (_payload, reply) => {
    socket.join('files');
    reply?.({ success: true });
  });
  socket.on('client:sync', (events, reply) => {
    stored.push(...events);
    reply({ success: true });
  });
});
http.listen(0, '127.0.0.1', () => console.log(http.address().port));
