// The machine's hosts file and resolv.conf, followed while they change.
// Thread: shard. Memory: none shared; what the two files say.
// Never: reads a file that is as it was, or waits for one: they are small and local.

import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import os from 'node:os'
import type { Clock } from '../base/clock.ts'
import { msToUs } from '../base/units.ts'
import { NAME_FILES_LOOK_MS, NAME_FILE_BYTES_MAX } from '../memory/name-limits.ts'
import { type HostsFile, type ResolvConf, parseHosts, parseResolvConf } from './resolv-conf.ts'

/** Where the files are, and when they are looked at. */
export interface NameFilesOptions {
  readonly hostsPath: string
  readonly resolvConfPath: string
  readonly clock: Clock
}

/** Both files, as they are now or were a moment ago. */
export class NameFiles {
  readonly #hosts: FollowedFile<HostsFile>
  readonly #resolvConf: FollowedFile<ResolvConf>
  readonly #clock: Clock
  #lookUs = -Infinity

  constructor({ hostsPath, resolvConfPath, clock }: NameFilesOptions) {
    this.#hosts = new FollowedFile(hostsPath, parseHosts)
    this.#resolvConf = new FollowedFile(resolvConfPath,
      (text) => parseResolvConf(text, os.hostname()))
    this.#clock = clock
  }

  get hosts(): HostsFile {
    this.#look()
    return this.#hosts.value
  }

  /** The same object as long as the file stays as it is. */
  get resolvConf(): ResolvConf {
    this.#look()
    return this.#resolvConf.value
  }

  #look(): void {
    const nowUs = this.#clock.nowUs()
    if (nowUs < this.#lookUs) return
    this.#lookUs = nowUs + msToUs(NAME_FILES_LOOK_MS)
    this.#hosts.look()
    this.#resolvConf.look()
  }
}

/** One file and what it means; one that cannot be read counts as empty. */
class FollowedFile<Value> {
  value: Value
  readonly #path: string
  readonly #parse: (text: string) => Value
  #mark = ''

  constructor(path: string, parse: (text: string) => Value) {
    this.#path = path
    this.#parse = parse
    this.value = parse('')
  }

  /** Reads it if it is another than before: replaced, as most programs do, or written to. */
  look(): void {
    const mark = markOf(this.#path)
    if (mark === this.#mark) return
    this.#mark = mark
    this.value = this.#parse(readBeginning(this.#path))
  }
}

function markOf(path: string): string {
  try {
    const { dev, ino, size, mtimeMs, ctimeMs } = statSync(path)
    return `${dev} ${ino} ${size} ${mtimeMs} ${ctimeMs}`
  } catch {
    return ''
  }
}

function readBeginning(path: string): string {
  try {
    const file = openSync(path, 'r')
    try {
      const bytes = Buffer.allocUnsafe(Math.min(fstatSync(file).size, NAME_FILE_BYTES_MAX))
      return bytes.toString('utf8', 0, readSync(file, bytes))
    } finally {
      closeSync(file)
    }
  } catch {
    return ''
  }
}
