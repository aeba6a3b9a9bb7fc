#!/usr/bin/env node
import { CommanderError } from 'commander';
import { rollcallProgram } from './program.ts';

// `rollcall device list | head` closes the pipe early: that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

try {
  await rollcallProgram().parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  // Help is no error; wrong usage is.
  process.exitCode = error.exitCode === 0 ? 0 : 2;
}
