// Who may ask, as the front door applies it: judges requests and upgrades, logs denials, and keeps
// requests whose token has to be verified first.

import type { Clock } from '../../shards/base/clock.ts'
import { hideKeys } from '../access/api-key.ts'
import { type Asked, Authenticator, type Unchecked } from '../access/authenticator.ts'
import { DenialLog } from '../access/denial-log.ts'
import type { Principal } from '../access/principal.ts'
import type { Denial } from '../base/errors.ts'
import { JobHasher } from '../base/hash.ts'
import type { Log } from '../base/log.ts'
import type { FrontDoorSettings } from '../config/door-settings.ts'
import {
  byKind, isLoopback, type ListenerKind, ofKind, showListeners,
} from '../config/listeners.ts'
import { addressKey, type ClientAddresses, showAddress } from '../http/client-address.ts'
import { Exchange } from '../http/exchange.ts'
import { RequestHead } from '../http/request-head.ts'
import { askedOf, type HttpRouteName } from '../http/route-table.ts'
import type { DeniedFrom, RouteAccess } from '../http/routes.ts'
import type { Handlers } from '../http/server.ts'
import type {
  Connected, HttpRequest, StreamedResponse, UpgradableResponse, UpgradeContext,
} from '../http/uws.ts'
import { HeldRequest } from '../peer/held-request.ts'
import type { Admission } from '../submit/admission.ts'
import type { DoorTables } from './door-tables.ts'
import { HeldTokens } from './held-tokens.ts'

/** What the front door's access depends on. */
export interface DoorAccessParts {
  readonly config: FrontDoorSettings
  readonly tables: DoorTables
  readonly admission: Admission
  readonly addresses: ClientAddresses
  readonly clock: Clock
  readonly log: Log
  /** The handlers that held requests are given to. */
  readonly handlers: () => Handlers
}

/** What an upgrade is answered by. */
type Upgrade = (principal: Principal) => boolean

const LOCKED = 'there are no keys, and the server can be reached from other machines: it answers ' +
  'nothing but its state until \'sluice keys add\' makes one'
const NO_KEY_LEFT = 'the last key is gone: whoever can reach the addresses that are open may use ' +
  'the server without one'
const OPEN_TO_ALL = 'everybody who can reach the server may use it: --insecure-no-auth is on'

const UPGRADE = askedOf('upgrade')

/** Access at the front door. */
export class DoorAccess implements RouteAccess {
  readonly #parts: DoorAccessParts
  readonly #authenticator: Authenticator
  readonly #admission: Admission
  readonly #denials: DenialLog
  readonly #held: HeldTokens
  readonly #head = new RequestHead()
  readonly #hasher: JobHasher
  readonly #handlers: () => Handlers
  readonly #addresses: ClientAddresses
  /** The listener can be reached from this machine only. */
  readonly #isLocal: Readonly<Record<ListenerKind, boolean>>

  constructor(parts: DoorAccessParts) {
    const { admission, clock, config, handlers, log, tables } = parts
    this.#parts = parts
    const { allowedHosts, isOpenToAll } = config.access
    this.#authenticator = new Authenticator({
      keys: tables.keys, tokens: tables.tokens, isOpenToAll, allowedHosts,
      peerProof: () => tables.peerProof,
      wallMs: () => clock.wallMs(clock.nowUs()),
    })
    this.#admission = admission
    this.#denials = new DenialLog(clock, log)
    this.#held = new HeldTokens(
      tables.clientBytes, (token, client) => tables.tokens.check(token, client))
    this.#hasher = new JobHasher(tables.secret)
    this.#handlers = handlers
    this.#addresses = parts.addresses
    this.#isLocal =
      byKind((kind) => isLoopback(ofKind(config.listeners, kind)?.host ?? ''))
  }

  /** Logs what whoever starts a server has to know, once as long as it stays so. */
  announce(): void {
    const { config: { access, listeners }, log, tables } = this.#parts
    const locked = listeners.filter(({ kind }) => this.#authenticator.isLocked(this.#isLocal[kind]))
    const notice = access.isOpenToAll ? OPEN_TO_ALL : locked.length > 0 ? LOCKED : ''
    if (notice !== '' && notice !== tables.accessNotice) {
      log.warn({ listeners: showListeners(access.isOpenToAll ? listeners : locked) }, notice)
    }
    tables.accessNotice = notice
  }

  /** Keys were revoked or have expired: if none is left, logs what follows from that. */
  announceGone(): void {
    const { config: { listeners }, log } = this.#parts
    if (this.#authenticator.isKeyed) return
    const open = listeners.filter(({ kind }) => !this.#authenticator.isLocked(this.#isLocal[kind]))
    log.warn({ open: showListeners(open) }, open.length === 0 ? LOCKED : NO_KEY_LEFT)
  }

  judge(head: RequestHead, kind: ListenerKind, asked: Asked): Principal | Denial | Unchecked {
    return this.#authenticator.judge(head, this.#isLocal[kind], asked)
  }

  deny(exchange: Exchange, denial: Denial, from: DeniedFrom): void {
    this.#denials.add(denial.code, () => ({
      address: showAddress(this.#addresses.of(from.response.getRemoteAddress(), from.request)),
      method: from.request.getMethod(), path: hideKeys(from.request.getUrl()),
    }))
    this.#admission.denied()
    exchange.denied(0, denial)
  }

  hold(
    kind: ListenerKind, name: HttpRouteName, response: StreamedResponse, request: HttpRequest,
    unchecked: Unchecked,
  ): void {
    this.#held.hold(unchecked, this.#clientOf(response, request), response, this.#handlers(),
      () => HeldRequest.hold({ kind, name }, response, request, this.#held))
  }

  /** Judges an upgrade request; returns false when another tier's route must be tried. */
  upgrade(
    kind: ListenerKind, response: UpgradableResponse, request: HttpRequest,
    context: UpgradeContext, upgrade: Upgrade,
  ): boolean {
    this.#head.read(request)
    const judged = this.judge(this.#head, kind, UPGRADE)
    if ('caller' in judged) return upgrade(judged)
    if ('token' in judged) {
      this.#held.hold(judged, this.#clientOf(response, request), response, this.#handlers(),
        () => HeldRequest.holdUpgrade(response, request, context, this.#held))
    } else this.deny(new Exchange(response, false), judged, { response, request })
    return true
  }

  /** A number that stands for the address of a request's client. */
  #clientOf(response: Connected, request: HttpRequest): number {
    const address = this.#addresses.of(response.getRemoteAddress(), request)
    return this.#hasher.user(0, addressKey(address)).route
  }
}
