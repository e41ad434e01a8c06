// The properties that must be equal for one build to take over the memory of another running one.
// Thread: any. Memory: none.
// Never: decides anything; src/engine/supervisor.ts refuses a build with another mark.

import { BATON_VERSION, LAYOUT_VERSION, layoutSizes } from '../memory/layout.ts'
import type { Limits } from '../memory/plan.ts'
import type { BuildMark } from '../wire/contract.ts'

/** This build's mark, for an engine with these limits. */
export const buildMark = (limits: Limits): BuildMark =>
  ({ layout: LAYOUT_VERSION, baton: BATON_VERSION, ...layoutSizes(limits) })

/** Why the new build cannot take over, as a message for people; undefined when it can. */
export function differenceOf(present: BuildMark, next: BuildMark): string | undefined {
  if (next.layout !== present.layout) {
    return `the new code speaks memory layout ${next.layout}, the running server ` +
      `${present.layout}; a restart is needed`
  }
  if (next.sharedBytes !== present.sharedBytes || next.shardBytes !== present.shardBytes ||
    next.regions !== present.regions) {
    return 'the new code lays the memory out in other sizes than the running server; a restart ' +
      'is needed'
  }
  if (next.baton !== present.baton) {
    return `the new code takes over by baton ${next.baton}, the running server hands over by ` +
      `${present.baton}; a restart is needed`
  }
  return undefined
}
