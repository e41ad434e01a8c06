// Keys and tokens of one process, which change together at a reload.

import { randomBytes } from 'node:crypto'
import type { Clock } from '../../shards/base/clock.ts'
import { fail } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { JwtSettings } from '../config/jwt-settings.ts'
import { fetchJwks } from './fetch-jwks.ts'
import { Jwt } from './jwt.ts'
import { KeyRing } from './key-ring.ts'

/** What keys and tokens need. */
export interface AccessParts {
  /** Undefined where there is no place for keys. */
  readonly keysFile: string | undefined
  /** It was named, not the default. */
  readonly isKeysFileNamed: boolean
  /** Undefined: no token is accepted. */
  readonly jwt: JwtSettings | undefined
  /** Makes clocks, since each has one wake-up. */
  readonly clock: () => Clock
  readonly log: Log
}

/** Who may ask. */
export class Access {
  readonly keys: KeyRing
  readonly jwt: Jwt
  readonly #log: Log

  /** Throws OperatingError with the code `keys_refused` when a file is wrong. */
  constructor({ clock, isKeysFileNamed, jwt, keysFile, log }: AccessParts) {
    this.#log = log
    const problem = Jwt.problem(jwt)
    if (problem !== undefined) fail('keys_refused', problem)
    this.keys = KeyRing.open({ file: keysFile, clock: clock(), random: randomBytes, log })
    if (isKeysFileNamed && this.keys.isFileMissing) {
      log.warn({ file: keysFile }, 'there is no such key file, so there are no keys')
    }
    this.jwt = new Jwt({ settings: jwt, fetch: fetchJwks(clock), clock: clock(), log })
  }

  /** Why reload() would fail now; changes nothing. */
  check(jwt: JwtSettings | undefined): string | undefined {
    return this.keys.check() ?? Jwt.problem(jwt)
  }

  /** Reads all files again; what has become wrong since check() stays as it was. */
  async reload(jwt: JwtSettings | undefined): Promise<void> {
    const keys = await this.keys.reload()
    if (!keys.ok) this.#log.warn({ reason: keys.error }, 'the keys stay as they were')
    this.jwt.configure(jwt)
  }

  async close(): Promise<void> {
    this.jwt.close()
    await this.keys.close()
  }
}
