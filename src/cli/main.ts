#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { credentialCommand } from './credential.ts';
import { deviceCommand } from './device.ts';
import { eventsCommand } from './events.ts';
import { handshakesCommand } from './handshakes.ts';
import { keyCommand } from './key.ts';
import { objectCommand } from './object.ts';
import { profileCommand } from './profile.ts';
import { serveCommand } from './serve.ts';

// `rollcall device list | head` closes the pipe early: that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

const program = new Command('rollcall')
  .description('A self-registration server for constrained devices')
  .addCommand(serveCommand())
  .addCommand(credentialCommand())
  .addCommand(deviceCommand())
  .addCommand(profileCommand())
  .addCommand(objectCommand())
  .addCommand(eventsCommand())
  .addCommand(handshakesCommand())
  .addCommand(keyCommand());
exitWithTwo(program);

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  // Help is no error; wrong usage is.
  process.exitCode = error.exitCode === 0 ? 0 : 2;
}

function exitWithTwo(command: Command): void {
  command.exitOverride();
  for (const subcommand of command.commands) exitWithTwo(subcommand);
}
