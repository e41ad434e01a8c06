// The process that runs a lane storm: an engine alone, on one core.

import { LaneStorm } from '../lane-storm.ts'
import type { LaneEngineCommands } from './messages.ts'
import { serveRole } from './role-loop.ts'

serveRole<LaneEngineCommands>({
  run: (plan, progress) => new LaneStorm(plan).run(progress),
})
