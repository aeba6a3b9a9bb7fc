import { type FloodName, floods, type Servers } from './floods.ts';

/**
 * Floods in a process of its own, so that whoever measures meanwhile does not wait for himself: one after the other, as
 * it is told. An order begins one, `stop` ends it, and the answer is how much was sent.
 */
let over = false;
process.on('message', (order: FloodOrder | 'stop') => {
  if (order === 'stop') {
    over = true;
    return;
  }
  over = false;
  const { name, servers } = order;
  void floods[name].run(servers, () => over).then(sent => process.send!(sent));
});
process.send!('ready');

export interface FloodOrder {
  readonly name: FloodName;
  readonly servers: Servers;
}
