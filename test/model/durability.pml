/*
 * The marks, flushes, crashes and replays of one session: a device registers (request 0) and updates (request 1), the
 * server answers through a store that is asked, then written, then flushed; power fails at any moment and takes what is
 * not flushed or leaves it; an eavesdropper sends any record again at any time. What must never happen is an assertion.
 *
 * With WITHOUT=n one rule is left out, to see that it is needed:
 *
 *    1  a reply leaves after the flush of what it tells
 *    2  waiting for the disk sends no empty ACK
 *    3  the last exchange is stored with the change that it made
 *    4  a decision sees what is asked for and not flushed yet
 *    6  sequence numbers beyond the mark wait for a higher mark that is flushed
 *    7  a restart takes only records above the read mark
 *    8  the session is flushed before the server's Finished leaves
 *    9  the end of a session is as durable as the session
 *   10  a copy of the store wakes no session
 *   11  tokens of the server's own requests contain the write sequence
 *
 * A record is taken if its number is above all before it; the window of 64 that permits overtaking is left out.
 */
#ifndef WITHOUT
#define WITHOUT 0
#endif
#define RULE(n) (WITHOUT != n)
#define STEP 2       /* of the write mark */
#define NUMBERS 6    /* that the server may use in all */
#define RECORDS 3    /* that the device sends in all */
#define CRASHES 2
#define BIT(n) (1 << (n))

/* What the store holds: how often each request took effect, the last exchange, the marks, and whether there is a session. */
typedef Store { byte done[2]; byte last; byte readMark; byte writeMark; bool session }
Store asked, written, flushed, backup;

/* The server's memory. */
bool session; byte writeNext, writeLimit, readHighest; bool reserving;
byte owed, seen;   /* requests, as bits: the answer is due; it was received by this process */
byte nextToken;

/* The device. */
bool connected; byte asking; byte told, stopped; byte what[RECORDS]; byte sent;

/* The world, and what it remembers to judge by. */
byte crashes; bool opened, revoked, copied, restored;
byte used;         /* the highest sequence number that was used, and one */
byte tokens;       /* as bits; kept only without rule 11, since with it they are as new as the numbers */
bool nonceIsNew = true, tokenIsNew = true, effectIsNew = true;
bool toldIsKept = true, stoppedIsKept = true, sessionIsKept = true, revokedIsGone = true;

inline copy(to, from) {
  to.done[0] = from.done[0]; to.done[1] = from.done[1]; to.last = from.last;
  to.readMark = from.readMark; to.writeMark = from.writeMark; to.session = from.session
}

inline seal() {
  nonceIsNew = writeNext >= used; assert(nonceIsNew);
  writeNext++; used = writeNext
}

inline restart() {
  copy(asked, flushed); copy(written, flushed);
  session = flushed.session; owed = 0; seen = 0; reserving = false; nextToken = 0;
  writeNext = flushed.writeMark; writeLimit = flushed.writeMark;
  readHighest = (RULE(7) -> flushed.readMark : 0);
  /* An old backup keeps no promise that was made after it, and has no session: only nonces matter then. */
  if
  :: !restored ->
    toldIsKept = !((told & 1) && !flushed.done[0]) && !((told & 2) && !flushed.done[1]); assert(toldIsKept);
    stoppedIsKept = !((stopped & 1) && !flushed.done[0]) && !((stopped & 2) && !flushed.done[1]); assert(stoppedIsKept);
    sessionIsKept = !connected || revoked || flushed.session; assert(sessionIsKept);
    revokedIsGone = !revoked || !flushed.session; assert(revokedIsGone)
  :: else
  fi
}

/* Record `n` arrives, as a message that the device sent or as a copy of it. */
inline receive(n) {
  readHighest = n + 1;
  i = what[n];
  if
  :: (seen & BIT(i)) && (owed & BIT(i)) /* the answer is under way: dropped */
  :: (seen & BIT(i)) && !(owed & BIT(i)) -> owed = owed | BIT(i)
  :: !(seen & BIT(i)) && RULE(3) && asked.last == i + 1 -> seen = seen | BIT(i); owed = owed | BIT(i)
  :: else ->
    seen = seen | BIT(i); owed = owed | BIT(i);
    if
    :: RULE(4)
    :: !RULE(4) -> asked.done[0] = flushed.done[0]; asked.done[1] = flushed.done[1]
    fi;
    asked.done[i] = asked.done[i] + 1; asked.last = i + 1; asked.readMark = n + 1
  fi;
  i = 0
}

active proctype world() {
  byte i;
  do
  /* The device proved its key; it believes in the session when it has our Finished. */
  :: d_step { !opened && !revoked -> opened = true; session = true;
      asked.session = true; asked.writeMark = STEP; asked.readMark = 0; writeNext = 0; writeLimit = STEP; readHighest = 0 }
  :: atomic { session && !connected && (flushed.session || !RULE(8)) && writeNext < writeLimit -> seal();
      if :: connected = true :: skip fi }

  /* It asks, and asks again until it has an answer, or gives up and goes on. */
  :: d_step { connected && asking < 2 && sent < RECORDS && !(stopped & BIT(asking)) -> what[sent] = asking; sent++ }
  :: d_step { asking < 2 && sent > 0 && what[sent - 1] == asking -> asking++ }
  :: d_step { session && connected && sent > 0 && readHighest < 1 -> receive(0) }
  :: d_step { session && connected && sent > 1 && readHighest < 2 -> receive(1) }
  :: d_step { session && connected && sent > 2 && readHighest < 3 -> receive(2) }

  /* The server answers, and asks something itself. */
  :: atomic { session && (owed & 1) && (flushed.done[0] || !RULE(1)) && writeNext < writeLimit -> seal();
      owed = owed & ~1; if :: told = told | 1 :: skip fi }
  :: atomic { session && (owed & 2) && (flushed.done[1] || !RULE(1)) && writeNext < writeLimit -> seal();
      owed = owed & ~2; if :: told = told | 2 :: skip fi }
  :: d_step { !RULE(2) && session && (owed & 1) && writeNext < writeLimit -> seal(); stopped = stopped | 1 }
  :: d_step { session && connected && writeNext < writeLimit ->
      if
      :: RULE(11)
      :: !RULE(11) -> tokenIsNew = !(tokens & BIT(nextToken)); assert(tokenIsNew); tokens = tokens | BIT(nextToken); nextToken++
      fi;
      seal() }

  /* Numbers run out. */
  :: d_step { session && !reserving && writeNext + 1 >= writeLimit && writeLimit + STEP <= NUMBERS ->
      reserving = true; asked.writeMark = writeLimit + STEP;
      if :: !RULE(6) -> writeLimit = writeLimit + STEP :: else fi }
  :: d_step { session && reserving && flushed.writeMark > writeLimit -> reserving = false; writeLimit = flushed.writeMark }
  :: d_step { !RULE(6) && reserving && flushed.writeMark >= writeLimit -> reserving = false }

  /* The disk. */
  :: d_step { copy(written, asked); if :: revoked && RULE(9) -> written.session = false :: else fi }
  :: d_step { copy(flushed, written);
      effectIsNew = flushed.done[0] <= 1 && flushed.done[1] <= 1; assert(effectIsNew) }
  :: atomic { crashes < CRASHES -> crashes++; if :: copy(flushed, written) :: skip fi; restart() }

  /* Operators. */
  :: d_step { !revoked && opened -> revoked = true; session = false;
      if :: RULE(9) -> asked.session = false; written.session = false; flushed.session = false :: else fi }
  :: d_step { !copied -> copied = true; copy(backup, flushed); if :: RULE(10) -> backup.session = false :: else fi }
  :: d_step { copied && !restored -> restored = true; copy(flushed, backup); restart() }
  od
}
