// The machine's hosts file and resolv.conf, read again when they change.
// Thread: shard. Memory: none shared; the parsed contents of the two files.
// Never: reads an unchanged file. Reads synchronously: the files are small and local.

import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import os from 'node:os'
import type { Clock } from '../base/clock.ts'
import { msToUs } from '../base/units.ts'
import { NAME_FILES_LOOK_MS, NAME_FILE_BYTES_MAX } from '../memory/name-limits.ts'
import { type HostsFile, type ResolvConf, parseHosts, parseResolvConf } from './resolv-conf.ts'

/** Where the files are, and the clock for checking them. */
export interface NameFilesOptions {
  readonly hostsPath: string
  readonly resolvConfPath: string
  readonly clock: Clock
}

/** Both files, at most NAME_FILES_LOOK_MS old. */
export class NameFiles {
  readonly #hosts: PolledFile<HostsFile>
  readonly #resolvConf: PolledFile<ResolvConf>
  readonly #clock: Clock
  #lookUs = -Infinity

  constructor({ hostsPath, resolvConfPath, clock }: NameFilesOptions) {
    this.#hosts = new PolledFile(hostsPath, parseHosts)
    this.#resolvConf = new PolledFile(resolvConfPath,
      (text) => parseResolvConf(text, os.hostname()))
    this.#clock = clock
  }

  get hosts(): HostsFile {
    this.#look()
    return this.#hosts.value
  }

  /** The same object as long as the file is unchanged. */
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

/** One file and its parsed value; a file that cannot be read counts as empty. */
class PolledFile<Value> {
  value: Value
  readonly #path: string
  readonly #parse: (text: string) => Value
  #mark = ''

  constructor(path: string, parse: (text: string) => Value) {
    this.#path = path
    this.#parse = parse
    this.value = parse('')
  }

  /** Reads the file if it has changed: replaced, as most programs do, or written to. */
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
