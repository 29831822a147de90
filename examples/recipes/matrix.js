// Tells a Matrix room: UPDATE_NOTIFY_CMD='node /opt/matrix.js', with a file that only the updater
// can read:
//   { "server": "https://matrix.example.com", "room": "!abc:example.com", "token": "syt_…" }
// See "Sending events to a room",
// https://spec.matrix.org/latest/client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid
import { readFileSync } from 'node:fs';

const { server, room, token } = JSON.parse(
  readFileSync(process.env.MATRIX_FILE ?? '/run/secrets/matrix.json', 'utf8'),
);
const { id, text } = JSON.parse(readFileSync(0, 'utf8'));
// The same id for every try: the room sees it once.
const address = `${server}/_matrix/client/v3/rooms/${encodeURIComponent(room)}/send/m.room.message/${encodeURIComponent(id)}`;
const response = await fetch(address, {
  method: 'PUT',
  headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
  body: JSON.stringify({ msgtype: 'm.text', body: text }),
});
if (!response.ok) {
  console.error(`the homeserver answered ${response.status}`);
  process.exitCode = 1;
}
