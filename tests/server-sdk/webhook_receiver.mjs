#!/usr/bin/env node
// Receives webhooks with LiveKit's own library (npm livekit-server-sdk, unmodified): refuses the first two, then prints
// one line of JSON for each event that its WebhookReceiver believes. The first line is the port.
import { createServer } from 'node:http';
import { WebhookReceiver } from 'livekit-server-sdk';

const receiver = new WebhookReceiver(process.env.LIVEKIT_API_KEY, process.env.LIVEKIT_API_SECRET);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
let refusals = 2;

const server = createServer((request, answer) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', async () => {
    if (refusals > 0) {
      refusals -= 1;
      answer.writeHead(503).end();
      return;
    }
    try {
      const event = await receiver.receive(Buffer.concat(parts).toString(), request.headers.authorization);
      const { room, participant, track } = event;
      say({ event: event.event, id: event.id, room: room?.name, participant: participant?.identity, track: track?.name });
      answer.writeHead(200).end();
    } catch (error) {
      say({ error: String(error) });
      answer.writeHead(401).end();
    }
  });
});
server.listen(0, '127.0.0.1', () => say({ port: server.address().port }));
