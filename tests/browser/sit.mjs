// People who take part by text alone, without a page of their own: many of them cost next to nothing.

/** Somebody who takes part by text alone: only their lines to the server, held by a page that draws nothing of the room. */
export async function sit(helper, link, name) {
  const index = await helper.evaluate(async (invite, called) => {
    const answer = await fetch('/api/join', {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ invite, name: called }),
    });
    const { token } = await answer.json();
    const { video } = JSON.parse(atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')));
    const socket = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/api/rooms/${video.room}/circle?access_token=${token}`);
    await new Promise((opened, failed) => {
      socket.onopen = opened;
      socket.onerror = failed;
    });
    window.lines ??= [];
    return window.lines.push(socket) - 1;
  }, link.split('#')[1].split('&')[0], name);
  let id = 0;
  const ask = (command) => helper.evaluate((at, words) => window.lines[at].send(words), index, JSON.stringify({ id: (id += 1), ...command }));
  return { ask, leave: () => ask({ type: 'leave' }) };
}
