// `sluice keys add`, `list` and `revoke`: through the control socket of a running server, which
// knows a new key at once; without one, in the key file.

import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import type { Command } from 'commander'
import { SystemClock } from '../../shards/base/clock.ts'
import { KeyRing } from '../access/key-ring.ts'
import { SCOPES } from '../access/principal.ts'
import { WISH_OPTIONS, type WishOption } from '../access/read-wish.ts'
import { OperatingError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { callControl } from '../control/client.ts'
import type { Asking, ControlAnswer, ControlRequest } from '../control/commands.ts'
import { keyCommands } from '../control/key-commands.ts'
import { lockFile } from '../control/place.ts'
import { ControlServer } from '../control/server.ts'
import { checkDirectory } from '../journal/directory.ts'
import { type ControlContext, PLACE_SETTINGS, placeOf, type ServerPlace } from './control-place.ts'
import { keyTable } from './key-table.ts'

type KeyRequest = ControlRequest & { readonly command: 'keys-add' | 'keys-list' | 'keys-revoke' }

/** A request's fields, or the reason why there are none. */
type Answer = { readonly ok: true, readonly fields: Readonly<Record<string, unknown>> } |
  { readonly ok: false, readonly error: string }

interface JsonFlag {
  readonly json?: boolean
}

const DESCRIPTIONS: Readonly<Record<WishOption, readonly [argument: string, what: string]>> = {
  name: ['<name>', 'whose key it is; also the user of its jobs, with --users one'],
  scopes: ['<list>', `what it may do: ${SCOPES.join(', ')} (default submit,read)`],
  tenant: ['<number>', 'the tenant whose jobs it submits and sees (default 0)'],
  users: ['<one|many>', 'one: all its jobs are of one user; many: each job names its user ' +
    '(default one)'],
  expires: ['<when>', 'a duration such as 30d, or a time such as 2027-01-31T12:00:00Z'],
  'jobs-queued': ['<number>', 'most jobs that are accepted and not finished'],
  rate: ['<number/s>', 'most jobs submitted in a second'],
  streams: ['<number>', 'most event streams at once'],
  sockets: ['<number>', 'most WebSockets at once'],
}

/** Adds the commands. */
export function addKeyCommands(program: Command, context: ControlContext): void {
  const keys = program.command('keys').description('add, list and revoke API keys')
  const command = (name: string, description: string): Command =>
    context.withSettings(keys.command(name), [...PLACE_SETTINGS, 'keysFile'])
      .description(description).option('--json', 'print JSON')
  const add = command('add', 'make a key and print it: it is shown this once')
  for (const [option, [argument, what]] of Object.entries(DESCRIPTIONS)) {
    if (option === 'name') add.requiredOption(`--${option} ${argument}`, what)
    else add.option(`--${option} ${argument}`, what)
  }
  add.action((flags: JsonFlag, self: Command) => runAdd(flags, self, context))
  command('list', 'list the keys, with their last use')
    .action((flags: JsonFlag, self: Command) => runList(flags, self, context))
  command('revoke', 'revoke a key: what it has open ends at once').argument('<id>')
    .action((id: string, flags: JsonFlag, self: Command) => runRevoke(id, flags, self, context))
}

async function runAdd(
  { json }: JsonFlag, command: Command, context: ControlContext,
): Promise<void> {
  const given = command.opts<Record<string, string | undefined>>()
  const texts: Record<string, string> = {}
  for (const option of Object.keys(WISH_OPTIONS)) {
    const text = given[option.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())]
    if (text !== undefined) texts[option] = text
  }
  const fields = await ask({ ...texts, command: 'keys-add' }, command, context)
  if (fields === undefined) return
  const { text, ...entry } = fields
  if (json === true) return context.stdout(`${JSON.stringify({ key: text, ...entry })}\n`)
  // Nothing else on standard output, so that a script can keep the line.
  context.stdout(`${String(text)}\n`)
  context.stderr(`sluice: this is the key ${String(entry['id'])} of ${String(entry['name'])}; it ` +
    'is shown this once, and nothing keeps it\n')
}

async function runList(
  { json }: JsonFlag, command: Command, context: ControlContext,
): Promise<void> {
  const keys: Readonly<Record<string, unknown>>[] = []
  let from: unknown = 0
  while (from !== undefined) {
    const fields = await ask({ command: 'keys-list', from }, command, context)
    if (fields === undefined) return
    keys.push(...fields['keys'] as typeof keys)
    from = fields['next']
  }
  const clock = new SystemClock()
  if (json === true) context.stdout(keys.map((key) => `${JSON.stringify(key)}\n`).join(''))
  else context.stdout(keyTable(keys, clock.wallMs(clock.nowUs())))
}

async function runRevoke(
  id: string, { json }: JsonFlag, command: Command, context: ControlContext,
): Promise<void> {
  const fields = await ask({ command: 'keys-revoke', id }, command, context)
  if (fields === undefined) return
  context.stdout(json === true ? `${JSON.stringify(fields)}\n`
    : `revoked ${String(fields['id'])} of ${String(fields['name'])}\n`)
}

/** The answer's fields; undefined after reporting why there are none. */
async function ask(
  request: KeyRequest, command: Command, context: ControlContext,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  const place = placeOf(command, context)
  if (place === undefined) return undefined
  const { keysFile, socket } = place
  const whole = { ...request, ...(place.isKeysFileNamed && { file: keysFile }) }
  const asked = await callControl(socket, whole).answer
  const isAbsent = 'isAbsent' in asked
  const answer = isAbsent ? await withoutServer(whole, place, context) : plain(asked)
  if (answer.ok) return answer.fields
  context.stderr(`sluice: ${answer.error}\n`)
  context.exit(context.failedExitCode)
  return undefined
}

const plain = (answer: ControlAnswer): Answer =>
  answer.ok ? { ok: true, fields: answer.fields ?? {} } : answer

/** Executes the request on the key file, while no server can start on the data folder. */
async function withoutServer(
  request: KeyRequest, place: ServerPlace, { stderr }: ControlContext,
): Promise<Answer> {
  const say = (_: object, message: string): void => stderr(`sluice: ${message}\n`)
  const log: Log = { info: () => {}, warn: say, error: say }
  let lock: ControlServer | undefined
  try {
    lock = await lockFolder(request, place, log)
    const clock = new SystemClock()
    const ring = KeyRing.open({ file: place.keysFile, clock, random: randomBytes, log })
    const run = keyCommands(ring, log, new SystemClock()).get(request.command)
    const answer = await run?.(request, NOBODY) ?? { ok: false, error: 'no such command' }
    await ring.close()
    // A long list is asked for in parts.
    if (!(Number(request['from']) > 0)) stderr(noServer(place, answer.ok && request.command))
    return plain(answer)
  } catch (error) {
    if (error instanceof OperatingError) return { ok: false, error: error.message }
    return Promise.reject(error)
  } finally {
    lock?.close()
  }
}

/** So that nobody takes another folder for that of the running server. */
function noServer(
  { dataFolder, keysFile, socket }: ServerPlace, done: KeyRequest['command'] | false,
): string {
  const verb = done === 'keys-add' || done === 'keys-revoke' ? 'wrote' : 'read'
  const [where, flag] = dataFolder === undefined
    ? [socket, 'socket with --control'] : [dataFolder, 'folder with --data']
  return `sluice: no server runs on ${where}: ${verb} ${keysFile}; name the server's ${flag}\n`
}

/** The lock of the data folder, if the key file is in it and is to be changed. */
async function lockFolder(
  { command }: KeyRequest, { dataFolder, isKeysFileNamed }: ServerPlace, log: Log,
): Promise<ControlServer | undefined> {
  if (dataFolder === undefined || isKeysFileNamed || command === 'keys-list') return undefined
  if (command === 'keys-add') checkDirectory(dataFolder)
  else if (!existsSync(dataFolder)) return undefined
  return ControlServer.open(lockFile(dataFolder), new SystemClock(), log)
}

/** The commands of keys report no progress, and hear nothing more. */
const NOBODY: Asking = { progress: () => {}, gone: new Promise(() => {}), hear: () => {} }
