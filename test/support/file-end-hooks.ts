import { endIfStillOpen, exitOnSigterm } from './file-end.ts'
import { giveUpMs } from './until.ts'

// Loaded before each test file by test/run.ts.
endIfStillOpen(giveUpMs)
exitOnSigterm()
