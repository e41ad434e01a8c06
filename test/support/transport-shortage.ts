// A program that has no file descriptors left for a connection, and later has some: prints the
// events of its transport, one JSON line each. Arguments: the origin.

import { closeSync, openSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { SystemClock } from '../../shards/base/clock.ts'
import { CONNECTS_LOOK_EVERY_MS } from '../../shards/memory/socket-limits.ts'
import { UndiciTransport } from '../../shards/transport/undici-transport.ts'
import { TransportRecorder, outgoing } from './transport-recorder.ts'

const DESCRIPTORS_MAX = 10_000

/** Opens all descriptors that the system allows. */
function takeDescriptors(): number[] {
  const taken: number[] = []
  try {
    while (taken.length < DESCRIPTORS_MAX) taken.push(openSync('/dev/null', 'r'))
  } catch {
    return taken
  }
  return []
}

const [, , origin] = process.argv
const transport = new UndiciTransport({
  clock: new SystemClock(), connectionsMax: 100,
  connectionsPerOriginMax: 4, responseBytesMax: 1024, extraCaPem: '',
  connectTimeoutMs: 60_000,
})
const heard = new TransportRecorder(transport)
process.stdout.write('') // whatever it opens is open
const taken = takeDescriptors()
heard.send(1, outgoing(origin as string))
await sleep(3 * CONNECTS_LOOK_EVERY_MS)
const meanwhile = [...heard.of(1).events]
for (const descriptor of taken) closeSync(descriptor)
const { body } = await heard.waitFor(1)
await transport.close()
console.log(JSON.stringify({ taken: taken.length, meanwhile, body }))
