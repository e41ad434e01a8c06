// The process that runs a storm of lanes: an engine by itself, on one core.

import { LaneStorm } from '../lane-storm.ts'
import type { LaneEngineCommands } from './messages.ts'
import { serveRole } from './role-loop.ts'

serveRole<LaneEngineCommands>({
  run: (plan, progress) => new LaneStorm(plan).run(progress),
})
