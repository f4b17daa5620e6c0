# frozen_string_literal: true

require "shmkv_native"
require_relative "shmkv/json"

# A named, persistent key-value store in shared memory.
#
#   ShmKV.open("sessions") do |kv|        # create or attach
#     kv["user:7"] = "Ada"                # any bytes, any size
#     kv.each { |key, value| puts key }   # no lock is held
#   end                                   # closes it; the segment stays
#   ShmKV.unlink("sessions")              # now it goes
#
# Any number of processes, in Ruby, Python, Perl or C, open the same segment by
# name. Readers never wait; a process that is killed leaves every key with its old
# or its new value. The segment outlives every process; it goes with #unlink, or
# with the next boot. A name with a slash ("/dir/file", "./file", "../file") is a
# regular file.
#
# Errors are a class per code, all of them a ShmKV::Error with +code+, +name+
# ("SHMKV_EKEY"), +detail+ and, of a call for many keys, +done+. BadName, BadKey, BadValue,
# BadArgument, BadType, Overflow, ReadOnly, Frozen, Closed, Deadlock: the call is wrong.
# TimedOut, Busy, NoSpace, NoSlots, ReserveTooSmall, Stale: try again, or give it more.
# NoSegment, Foreign, Format, Corrupt, BadDump, WrongOwner, NoSharedMemory: not there, not
# ours, or not whole. Changed: a named lock was lost. SystemFailure: a system call failed;
# <tt>rescue Errno::EACCES</tt> and the like see it too. NotFound, Exists and BufferTooSmall
# exist as well, but what they say is an answer here and not an error. Whatever is of the wrong class
# is a TypeError, also an option of ShmKV.open; what has the right one and will not do is a BadKey,
# BadValue, BadName or BadArgument. A missing key is a MissingKey, which is a KeyError, where it is an error
# at all. A message about an operation names the segment and the key.
module ShmKV
  VERSION = "0.1.0"

  # What Store#fetch raises: a KeyError, with +key+ and +receiver+. A class of its own, since for a plain
  # one Ruby's did_you_mean looks for a similar key, in all of the Store.
  class MissingKey < KeyError
    def initialize(receiver, key) # :nodoc:
      super("#{receiver.name}: key not found: #{key.inspect}", receiver: receiver, key: key)
    end
  end

  MODES = { shared: 0, exclusive: 1, existing: 2, readonly: 3 }.freeze
  private_constant :MODES

  # Open the segment +name+ and return a Store; with a block, yield it, close it
  # and return what the block did.
  #
  # mode:: +:shared+ (create or attach), +:exclusive+ (a new, empty segment takes the
  #        name, safely at any time), +:existing+ (attach only), +:readonly+ (attach
  #        only, on a read-only mapping)
  # permissions, owner_slots, max_size, default_ttl::
  #        of a segment that is created: mode bits (0600), number of concurrent
  #        writers (512), bytes that it will not outgrow (none), seconds that entries
  #        live which are stored without a ttl (for ever)
  # max_entries, max_bytes, evict::
  #        of a segment that is created, and is to be a cache: the most entries, and the
  #        most bytes of memory that they take (any number). A new entry then puts out
  #        others, first such as have not been read or changed for a while, but none that is
  #        bound to a process. With +evict+ also when there is simply no more room. A value
  #        longer than a shard's part of max_bytes is an error: all of it up to 8 MiB, half
  #        up to 16, and so on, but never less than 4 MiB of a larger one
  # reserve, lock_timeout_ms::
  #        address space to set aside, in bytes; how long to wait for the lock of a
  #        live process (5000)
  # stay:: raise Stale when the segment is replaced, instead of moving along
  # any_owner:: accept a segment that belongs to somebody else
  # huge_pages:: map by huge pages what the system gives them for; worth it from some
  #        100,000 entries on (+huge_bytes+ of info tells what came of it)
  #
  # codec:: an object with +dump+ and +load+, such as Marshal, for values that shmkv has no
  #        type for. +dump+ gives a String, whose bytes are stored as "coded"; other Stores,
  #        and other languages, read them as bytes, unless they name a codec, too. Without it,
  #        nothing is ever decoded. When +load+ raises in #take, #pop or #swap, the value is
  #        gone all the same. Warning: Marshal, YAML.unsafe_load and the like make any
  #        object that the data asks for. Whoever may write to the segment may then run code
  #        in this process.
  #
  # Raises BadName, BadArgument, NoSegment, Foreign, Format, Corrupt, WrongOwner,
  # NoSpace, SystemFailure and others. Only +:exclusive+ may wait, for the locks of
  # the segment it replaces; other Ruby threads run meanwhile.
  def self.open(name, mode: :shared, permissions: 0, owner_slots: 0, max_size: 0,
                default_ttl: nil, max_entries: 0, max_bytes: 0, evict: false, reserve: 0, lock_timeout_ms: 0,
                stay: false, any_owner: false, huge_pages: false, codec: nil)
    unless codec.nil? || (codec.respond_to?(:dump) && codec.respond_to?(:load))
      raise TypeError, "#{name}: codec must have dump and load"
    end

    raise TypeError, "#{name}: mode must be a Symbol, not #{mode.class}" unless mode.is_a?(Symbol)

    number = MODES[mode] or
      refuse_argument(name, "mode is one of #{MODES.keys.map(&:inspect).join(', ')}, not #{mode.inspect}")
    limits = { permissions: [permissions, 0o7777], owner_slots: [owner_slots, 2**32 - 1],
               lock_timeout_ms: [lock_timeout_ms, 2**32 - 1], max_size: [max_size, 2**64 - 1],
               reserve: [reserve, 2**64 - 1], max_entries: [max_entries, 2**64 - 1],
               max_bytes: [max_bytes, 2**64 - 1] }
    limits.each do |option, (value, most)|
      raise TypeError, "#{name}: #{option} must be an Integer, not #{value.class}" unless value.is_a?(Integer)
      next if value.between?(0, most)

      refuse_argument(name, "#{option} is an integer from 0 to #{most}, not #{value.inspect}")
    end
    unless default_ttl.nil? || (default_ttl.is_a?(Numeric) && default_ttl.real?)
      raise TypeError, "#{name}: default_ttl must be a number of seconds, not #{default_ttl.class}"
    end
    unless default_ttl.nil? || default_ttl >= 0
      refuse_argument(name, "default_ttl is a number of seconds from 0 on, not #{default_ttl.inspect}")
    end
    flags = (stay ? 1 : 0) | (any_owner ? 2 : 0) | (huge_pages ? 4 : 0)
    store = Store.send(:new, name, number, flags, reserve, lock_timeout_ms, permissions, owner_slots, max_size,
                       default_ttl.to_f, max_entries, max_bytes, evict ? 1 : 0)
    store.send(:use_codec, codec, codec) if codec
    return store unless block_given?

    begin
      yield store
    ensure
      store.close
    end
  end

  # Remove the name. Processes that are attached keep the segment. Raises NoSegment,
  # BadName, Foreign (and leaves that alone), WrongOwner or SystemFailure. Does not
  # block.
  def self.unlink(name)
    unlink_segment(name)
  end

  # The library's version.
  def self.version
    library_version
  end

  # :section: Store

  # An open segment; made by ShmKV.open.
  #
  # Keys (1 to 65536 bytes) are the bytes of Strings, whatever their encoding; anything
  # else is a TypeError. They come back BINARY. Values keep their type, in other
  # languages too: a BINARY String is bytes; a String of another encoding, and a Symbol,
  # is text, which comes back as UTF-8; Integer of 64 bits, Float, true, false, nil; Array
  # and Hash of those but bytes, as JSON. What would lose something is refused: larger
  # Integers, invalid text, NaN inside (BadValue), keys of a Hash that are neither String
  # nor Symbol (TypeError). Text that a peer stored and that is none raises BadType;
  # #get_bytes gives the bytes of any value. "Never blocks" means that no lock is taken, whatever
  # other processes do. Any thread may use it; others run while a call sleeps or goes through the whole
  # segment, where its description says so. A change of one key keeps the interpreter to itself, also in
  # the rare case that it waits for a process that was stopped in the middle of one, up to
  # lock_timeout_ms. A Store opened before a fork works in both processes.
  # One that can write has two descriptors of its own: who closes descriptors that it has not opened, as a
  # daemon may when it starts, opens the segment afterwards. A child that gives up its right to open
  # it (setuid) can read on, but not write.
  #
  # It has what a Hash has to read, and Enumerable. Unlike a Hash, #delete tells whether the key was
  # there (#take gives the value), #put and #store return true, #clear a number, #== and #hash
  # are about the object (compare what #to_h gives), and no key is a Symbol. What a Hash
  # makes another Hash of, and #to_h does not, is for <tt>kv.to_h</tt> to make.
  #
  # After #close, whatever else is called raises Closed, but for #name, #closed? and
  # #unlink. A Store can neither be copied (+dup+, +clone+) nor marshalled, which is a TypeError: open the
  # segment again, by its name. Its own +freeze+ stops nobody from writing: that is #freeze_segment.
  #
  # Ractors: the main one only. A Store cannot be sent to another, nor be made shareable,
  # and ShmKV.open raises Ractor::UnsafeError in it. Processes share a segment, and run in parallel.
  class Store
    include Enumerable

    KEYS = 0
    ITEMS = 2
    ALWAYS = 0
    IF_ABSENT = 1
    IF_PRESENT = 2
    ADD = 0
    SUBTRACT = 1
    AT_LEAST = 2
    AT_MOST = 3
    private_constant :KEYS, :ITEMS, :ALWAYS, :IF_ABSENT, :IF_PRESENT, :ADD, :SUBTRACT, :AT_LEAST, :AT_MOST
    private_class_method :new

    def initialize_copy(_other) # :nodoc:
      raise TypeError, "can't copy #{self.class}: open the segment again"
    end

    ##
    # :method: put
    # :call-seq: put(key, value) -> true
    #
    # Store +value+ under +key+, in place of any earlier one; also as
    # <tt>kv[key] = value</tt>. Waits for another process that writes nearby, up to
    # the lock timeout. When it raises (BadKey, BadValue, ReadOnly, NoSpace, TimedOut
    # and others), nothing has changed.

    ##
    # :method: get
    # :call-seq: get(key) -> value or nil
    #
    # The value, or nil when there is none; also as <tt>kv[key]</tt>. Never blocks.

    ##
    # :method: get_bytes
    # :call-seq: get_bytes(key) -> String or nil
    #
    # The bytes of the value, whatever its type. Never blocks.

    ##
    # :method: get_many
    # :call-seq: get_many(keys) -> Hash
    #
    # The keys of an Array that are there, as given, and their values, each as of a moment of
    # its own. Takes much less time than one #get after the other when there is more in the
    # segment than the processor's caches hold. Never blocks.

    ##
    # :method: delete_many
    # :call-seq: delete_many(keys) -> Integer
    #
    # Remove those keys of an Array that are there, one after the other; how many that were. If one
    # of them is wrong, none is removed. Other Ruby threads run meanwhile.

    ##
    # :method: get_item
    # :call-seq: get_item(key) -> Hash or nil
    #
    # The value with what goes with it: <tt>value</tt>, <tt>type</tt> ("text", "int64", ...),
    # <tt>version</tt> (for #cas), <tt>expires_ns</tt> (nanoseconds since 1970, or nil),
    # <tt>bound</tt>. Never blocks.

    ##
    # :method: take
    # :call-seq: take(key) -> value or nil
    #
    # Remove +key+ and return its value. Waits as #put does.

    ##
    # :method: append
    # :call-seq: append(key, string) -> Integer
    #
    # Append to bytes or text; the new length in bytes. When there is none, +string+ is
    # stored. Raises BadType for other values, BadValue for bytes behind text that would
    # make it none, and what #put does. When the entry ends stays as it was.

    ##
    # :method: clear
    # :call-seq: clear -> Integer
    #
    # Remove all entries, one after the other: what others store meanwhile may stay. Tells how
    # many there were. Other Ruby threads run meanwhile.

    ##
    # :method: delete_if
    # :call-seq: delete_if(key, version) -> true or false
    #
    # Remove +key+ if its value still has this version, from #get_item; tells whether it did.

    ##
    # :method: delete_value
    # :call-seq: delete_value(key, expected) -> true or false
    #
    # Remove +key+ if its value is +expected+, of the same type; tells whether it did.

    ##
    # :method: exists
    # :call-seq: exists(key) -> true or false
    #
    # Whether +key+ is there; also +key?+. Never blocks.

    ##
    # :method: delete
    # :call-seq: delete(key) -> true or false
    #            delete(key) { |key| ... } -> true, or what the block returns
    #
    # Remove +key+; tells whether it was there. With a block, and when it was not: what that returns
    # for +key+. Waits as #put does.

    ##
    # :method: get_size
    # :call-seq: get_size -> Integer
    #
    # The number of pairs; also +size+, +length+. Never blocks.

    ##
    # :method: get_all
    # :call-seq: get_all -> Hash
    #
    # All pairs as they were at one moment; also +to_h+. Holds up writers while it
    # copies; on a read-only Store it repeats the copy until nobody wrote meanwhile,
    # and raises Busy when that does not happen. Other Ruby threads run meanwhile.

    ##
    # :method: close
    # :call-seq: close -> true
    #
    # Detach; the segment stays. May be repeated.

    ##
    # :method: closed?
    # :call-seq: closed? -> true or false

    ##
    # :method: info
    # :call-seq: info -> Hash
    #
    # Facts about the segment. Never blocks.

    ##
    # :method: stats
    # :call-seq: stats -> Hash
    #
    # Counters of the segment. Never blocks.

    ##
    # :method: verify
    # :call-seq: verify -> Array
    #
    # Check every invariant of the segment; problems as <tt>{offset:, text:}</tt>, none
    # when all is well. Takes no lock, but time; other Ruby threads run meanwhile.

    ##
    # :method: locks
    # :call-seq: locks -> Array
    #
    # All locks, each as a Hash. Never blocks.

    ##
    # :method: owners
    # :call-seq: owners -> Array
    #
    # All owner slots in use, each as a Hash. Never blocks.

    ##
    # :method: freeze_segment
    # :call-seq: freeze_segment -> true
    #
    # Make the segment read-only for ever and for everybody: what would change it raises
    # Frozen. Entries whose time comes still go, and +:exclusive+ still replaces the
    # segment. Waits for writers, up to the lock timeout (TimedOut); other Ruby threads run
    # meanwhile. (Ruby's own +freeze+ is about the object.)

    ##
    # :method: sync
    # :call-seq: sync -> true
    #
    # Wait until a segment that is a regular file is on disk, as it was at the call. For
    # power failures; processes that are killed lose nothing without it. Other Ruby threads
    # run meanwhile.

    alias [] get
    alias []= put
    alias store put
    alias exists? exists
    alias key? exists
    alias has_key? exists
    alias include? exists
    alias member? exists
    alias size get_size
    alias length get_size
    alias closed? closed
    undef_method :closed

    private :hold, :use_codec, :store_as, :store_modified, :count_with, :pop_pair, :dump_path, :dump_fd, :load_path, :load_fd
    %i[put_many cursor swap get_or_set cas cas_value wait watch touch sweep transaction].each do |name|
      alias_method :"#{name}_in_c", name
      private :"#{name}_in_c"
    end

    # Store +value+ under +key+ as #put does, with an end.
    #
    # ttl:: seconds from now after which the entry is absent; nil: the segment's default;
    #       Float::INFINITY: never
    # bound:: the entry goes when this Store is closed or this process ends, even by
    #         <tt>kill -9</tt>: whoever looks next does not find it. To know that, readers ask the
    #         kernel, about ten microseconds for each bound entry
    def set(key, value, ttl: nil, bound: false)
      store_as(key, ALWAYS, value, ttl, bound ? 1 : 0)
    end

    # Store +value+ if +key+ is absent; tells whether it was stored. Options as of #set.
    def add(key, value, ttl: nil, bound: false)
      store_as(key, IF_ABSENT, value, ttl, bound ? 1 : 0)
    end

    # Store +value+ if +key+ is present; tells whether it was stored. Options as of #set.
    def replace(key, value, ttl: nil, bound: false)
      store_as(key, IF_PRESENT, value, ttl, bound ? 1 : 0)
    end

    # Store +value+ and return the one before, or nil. Options as of #set.
    def swap(key, value, ttl: nil, bound: false)
      swap_in_c(key, value, ttl, bound ? 1 : 0)
    end

    # Store +value+ if the present one still has this +version+, from #get_item; 0: if
    # there is none. Tells whether it was stored. Options as of #set.
    def cas(key, version, value, ttl: nil, bound: false)
      cas_in_c(key, version, value, ttl, bound ? 1 : 0)
    end

    # Store +value+ if the present one is +expected+, of the same type; tells whether it
    # was stored. Options as of #set.
    def cas_value(key, expected, value, ttl: nil, bound: false)
      cas_value_in_c(key, expected, value, ttl, bound ? 1 : 0)
    end

    # The value of +key+; when there is none, +value+, which is stored. Options as of #set.
    def get_or_set(key, value, ttl: nil, bound: false)
      get_or_set_in_c(key, value, ttl, bound ? 1 : 0)
    end

    # Store all of a Hash, or of an Enumerable of pairs, one after the other. If a key or a value is
    # wrong, nothing is stored. If it raises later (NoSpace, TimedOut), those before are stored,
    # and +done+ of the error tells how many. Nothing else is promised of all of them together: see
    # #transaction. Other Ruby threads run meanwhile; so that they may change their Strings, those
    # that are not frozen are copied, which takes about as long as the core saves. Options as of
    # #set, for all of them. Returns true.
    def put_many(pairs, ttl: nil, bound: false)
      put_many_in_c(pairs.instance_of?(Hash) ? pairs.flatten : flatten_pairs(pairs), ttl, bound ? 1 : 0)
    end

    # Store all of some Hashes, as Hash#update does; +self+. With a block, a value whose key is
    # there becomes what the block makes of the key, the old value and the new one, as
    # #modify does it, one key after the other; without one, #put_many is used.
    def update(*others)
      others.each do |other|
        next put_many(other) unless block_given?

        other.each { |key, value| merge_pair(key, value) { |old| yield(key, old, value) } }
      end
      self
    end
    alias merge! update

    # Let the entry end in +ttl+ seconds, or, with nil, never; tells whether there is one.
    def touch(key, ttl = nil)
      touch_in_c(key, ttl)
    end

    # Remove some entry and return its key and value, or nil when there is none.
    def pop
      pop_pair
    end
    alias shift pop

    # Reclaim the memory of entries that have expired, or whose process is gone; how many.
    # What has expired is absent without this, but takes room and is counted by #size until it
    # is swept, overwritten, or a put needs its room: so a store keeps its size without sweeps.
    # +max_steps+ bounds the work of one call, which goes on where the last one ended; 0 is
    # all. Other Ruby threads run meanwhile.
    def sweep(max_steps = 0)
      sweep_in_c(max_steps)
    end

    # Add +amount+ to the number under +key+, or to +initial+ when there is none; the new
    # number. Integers stay integers of 64 bits: Overflow, and nothing changes, if the
    # sum is none. With a Float for +amount+ or +initial+ it is a Float. BadType when
    # the value is no such number.
    def incr(key, amount = 1, initial: 0)
      count_with(key, ADD, amount, initial)
    end

    # Subtract; see #incr.
    def decr(key, amount = 1, initial: 0)
      count_with(key, SUBTRACT, amount, initial)
    end

    # Make the number under +key+ at least this; the new number. As #incr otherwise.
    def at_least(key, number)
      count_with(key, AT_LEAST, number, number)
    end

    # Make the number under +key+ at most this; the new number. As #incr otherwise.
    def at_most(key, number)
      count_with(key, AT_MOST, number, number)
    end

    # Store what the block returns for the value of +key+, nil when there is none, and
    # return it. No lock is held while the block runs. If another process comes between,
    # it runs again, so it should do nothing else. An exception changes nothing. Without
    # <tt>ttl</tt> the entry ends when it would have; a new one, when the segment's do.
    # <tt>bound</tt> as of #set: without it the entry stays when its process ends.
    def modify(key, ttl: nil, bound: false)
      raise LocalJumpError, "no block given (yield)" unless block_given?

      while true # and not loop, which would end with a StopIteration of the block
        item = get_item(key)
        value = yield(item && item[:value])
        version, ends = item ? [item[:version], item[:expires_ns] || 0] : [0, 0]
        return value if store_modified(key, version, ends, value, ttl, bound ? 1 : 0)
      end
    end

    # Change several keys together: all changes are made or none, also when the process is
    # killed. Yields a Transaction, which has these keys (1 to 1024 different ones) and no
    # others; returns what the block does.
    #
    #   kv.transaction("a", "b") do |txn|
    #     txn["a"] -= 10
    #     txn["b"] += 10
    #   end
    #
    # No lock is held while the block runs. If one of the keys has changed meanwhile, also one
    # that it only read, it runs again, on fresh values, so it should do nothing else: what it
    # does with the Store itself is no part of the transaction. If it is left by an exception,
    # +throw+, +break+ or +return+, nothing has changed.
    #
    # #get_all and other transactions see all of the changes or none; a #get sees one key.
    # Raises Busy when the keys keep changing for as long as the lock timeout, Closed when the
    # block closes the Store, and what #put does; then nothing has changed.
    def transaction(*keys, &block)
      raise LocalJumpError, "no block given (yield)" unless block

      transaction_in_c(keys.flatten(1), block)
    end

    # Wait until the value of +key+ is another one, or gone, or there.
    #
    # version:: than the one with this version, from #get_item, 0 for none; nil: than the
    #           present one
    # timeout:: in seconds; nil: for ever
    #
    # Tells whether it is; false: time is up. Sleeps until a writer wakes it. Other threads run
    # meanwhile, and may interrupt it. Raises ReadOnly on a read-only Store, and Frozen.
    def wait(key, version: nil, timeout: nil)
      wait_in_c(key, version.nil? ? 0 : 1, version.nil? ? 0 : version, timeout)
    end

    # Wait until anything changes; returns two values: whether something has, and the
    # position from which to watch on without missing anything. 0: from now. Otherwise as #wait.
    def watch(position = 0, timeout: nil)
      watch_in_c(position, timeout)
    end

    # Hold the lock +name+ while the block runs: nobody else holds it meanwhile. Names of locks
    # are apart from keys. Yields a number that no other holder gets in this segment; an
    # earlier one may have had a larger one. Returns what the block does. The lock goes with the block, with the
    # Store, and with the process, however that ends: whoever waits then gets it. A stopped
    # process keeps it.
    #
    # Raises TimedOut after +timeout+ seconds (nil: never; the detail names the holder),
    # Deadlock if this thread holds it already, and Changed at the end if it was lost, because
    # the segment was replaced, and in a child that was forked inside: the parent's lock stays. Other threads run meanwhile, and may interrupt it.
    def lock(name, timeout: nil, &block)
      raise LocalJumpError, "no block given (yield)" unless block

      hold(name, timeout, &block)
    end

    # The value of +key+; when there is none, what the block returns, which is stored. Of all
    # who ask at once one computes, under #lock of the key, and the others wait for its
    # result, at most +timeout+ seconds (TimedOut). If it raises or dies, the next one computes.
    def get_or_compute(key, timeout: nil, ttl: nil, bound: false)
      raise LocalJumpError, "no block given (yield)" unless block_given?

      fetch(key) do
        lock(key, timeout: timeout) do
          fetch(key) do
            value = yield
            set(key, value, ttl: ttl, bound: bound)
            value
          end
        end
      end
    end

    DUMP_SNAPSHOT = 1
    LOAD_KEEP = 1
    LOAD_REPLACE = 2
    private_constant :DUMP_SNAPSHOT, :LOAD_KEEP, :LOAD_REPLACE

    # Write all entries as a stream, with types and expiry, which #load reads, in any
    # language and on any machine; return their number.
    #
    # file:: a path (String, Pathname), whose name is taken when the dump is whole and on
    #        disk (mode 0600); or an IO, or the number of a descriptor
    # snapshot:: all entries as of one moment; else each is as of its own
    #
    # Bound entries are left out. No lock is held while it writes; other Ruby threads run
    # meanwhile. Raises Stale when the segment is replaced meanwhile, NoSpace, SystemFailure
    # and others. A thread that waits for the reader of a pipe here cannot be interrupted.
    def dump(file, snapshot: false)
      flags = snapshot ? DUMP_SNAPSHOT : 0
      io = io_of(file) or return dump_path(path_of(file), flags)
      return dump_fd(io, flags) if io.is_a?(Integer)

      io.flush
      dump_fd(io.fileno, flags)
    end

    # Store the entries of a dump; return their number.
    #
    # file:: as of #dump; an IO stands behind the dump afterwards. A pipe must not have
    #        been read from, except by +sysread+.
    # keep:: an entry of the dump does not replace one of the same key
    # replace:: what the dump does not have goes too, all at once, in a new segment, and
    #           only if the dump is whole
    #
    # Raises BadDump if it is not whole; without +replace+, what came before the damage has
    # been stored then. Raises Frozen and what else #put does. Other Ruby threads run
    # meanwhile. A thread that waits for the writer of a pipe here cannot be interrupted.
    def load(file, keep: false, replace: false)
      ShmKV.send(:refuse_argument, name, "load takes keep or replace, not both") if keep && replace

      flags = (keep ? LOAD_KEEP : 0) | (replace ? LOAD_REPLACE : 0)
      io = io_of(file) or return load_path(path_of(file), flags)
      return load_fd(io, flags) if io.is_a?(Integer)

      begin
        io.pos = io.pos # what was read ahead goes back to the file
      rescue Errno::ESPIPE
        nil # a pipe
      end
      load_fd(io.fileno, flags)
    end

    # The number of pairs; with an argument or a block as Enumerable#count.
    def count(*args, &block)
      args.empty? && !block ? get_size : super
    end

    # Whether there are no pairs.
    def empty?
      get_size.zero?
    end

    # The value of +key+. If there is none: what the block returns for +key+, or
    # +default+, or a MissingKey, which is a KeyError. Never blocks.
    def fetch(key, *default)
      raise ArgumentError, "wrong number of arguments (given #{default.size + 1}, expected 1..2)" if default.size > 1

      value = get(key)
      warn("block supersedes default value argument", uplevel: 1) if block_given? && !default.empty?
      # nil may be a value.
      return value unless value.nil? && get_item(key).nil?
      return yield(key) if block_given?
      return default.first unless default.empty?

      raise MissingKey.new(self, key)
    end

    # The values of some keys, in their order; nil for one that is not there. By #get_many.
    def values_at(*keys)
      get_many(keys).values_at(*keys)
    end

    # The values of some keys, in their order. For one that is not there: what the block returns for it, or
    # a MissingKey. By #get_many.
    def fetch_values(*keys)
      found = get_many(keys)
      keys.map do |key|
        found.fetch(key) do
          raise MissingKey.new(self, key) unless block_given?

          yield key
        end
      end
    end

    # The value of +key+, or, with +rest+, what is inside the Hash or Array that it is; nil if there is none.
    def dig(key, *rest)
      [get(key)].dig(0, *rest) # which says what has nothing inside
    end

    # A key of this value, or nil; walks as #each does.
    def key(value)
      each_pair { |key, found| return key if found == value }
      nil
    end

    # Whether some key has this value; walks as #each does.
    def value?(value)
      each_value { |found| return true if found == value }
      false
    end
    alias has_value? value?

    # A Hash of the pairs for which the block returns true; walks as #each does.
    def select
      return to_enum(:select) { get_size } unless block_given?

      each_pair.with_object({}) { |(key, value), chosen| chosen[key] = value if yield(key, value) }
    end
    alias filter select

    # A Hash of the pairs for which it does not.
    def reject
      return to_enum(:reject) { get_size } unless block_given?

      select { |key, value| !yield(key, value) }
    end

    # Yield each pair, or those whose keys begin with +prefix+ (all are looked at all the
    # same: keys lie in no order). A key that is there from beginning to end is given once.
    # Never blocks. Raises Stale when the segment is replaced meanwhile. Without a
    # block, an Enumerator.
    def each_pair(prefix: nil, &block)
      return to_enum(:each_pair, prefix: prefix) { prefix ? nil : get_size } unless block

      walk(ITEMS, prefix, &block)
      self
    end
    alias each each_pair

    # Yield each key, as #each does.
    def each_key(prefix: nil, &block)
      return to_enum(:each_key, prefix: prefix) { prefix ? nil : get_size } unless block

      walk(KEYS, prefix, &block)
      self
    end

    # Yield each value, as #each does.
    def each_value(prefix: nil)
      return to_enum(:each_value, prefix: prefix) { prefix ? nil : get_size } unless block_given?

      walk(ITEMS, prefix) { |_, value| yield value } # a pair, since a value may be nil
      self
    end

    # All keys, or those that begin with +prefix+. Never blocks.
    def keys(prefix: nil)
      each_key(prefix: prefix).to_a
    end

    # All values, or those whose keys begin with +prefix+. Never blocks.
    def values(prefix: nil)
      each_value(prefix: prefix).to_a
    end

    # A walk that knows where it stands: a Cursor, for the pairs or, with +keys_only+, the keys.
    #
    # prefix:: as of #each
    # position:: where to go on: the Cursor#position of another one, of any process, also one that
    #            has ended since. The two together give each key that is there from the
    #            beginning of the one to the end of the other exactly once, however the segment
    #            has grown in between. A String that is none raises BadArgument, and one
    #            of another segment, also of the same name, Stale.
    def cursor(prefix: nil, position: nil, keys_only: false)
      cursor_in_c(keys_only ? KEYS : ITEMS, prefix, position)
    end

    # #get_all; with a block as Enumerable#to_h.
    def to_h(&block)
      block ? super : get_all
    end

    alias name_bytes name
    private :name_bytes

    # The name, as given to ShmKV.open.
    def name
      name_bytes.force_encoding(Encoding.default_external)
    end

    # Remove the segment's name; see ShmKV.unlink.
    def unlink
      ShmKV.unlink(name)
    end

    def inspect
      "#<#{self.class} #{name.inspect}#{' (closed)' if closed?}>"
    end
    alias to_s inspect

    private

    # Found by Marshal.
    def marshal_dump
      raise TypeError, "can't dump #{self.class}: open the segment again, by its name"
    end

    # The IO, or the number of a descriptor; nil for a path. A File is both.
    def io_of(file)
      return file if file.is_a?(Integer)

      file.respond_to?(:to_io) ? file.to_io : nil
    end

    def path_of(file)
      file.respond_to?(:to_path) ? file.to_path : file
    end

    # Keys and values by turns.
    def flatten_pairs(pairs)
      raise TypeError, "#{name}: put_many takes a Hash or pairs, not #{pairs.class}" unless pairs.respond_to?(:each)

      flat = []
      pairs.each do |pair|
        pair = Array.try_convert(pair)
        raise ArgumentError, "#{name}: put_many takes pairs of a key and a value" unless pair && pair.size == 2

        flat.push(pair[0], pair[1])
      end
      flat
    end

    def walk(what, prefix)
      cursor = cursor_in_c(what, prefix, nil)
      begin
        while (entry = cursor.next)
          yield entry
        end
      ensure
        cursor.close
      end
    end

    # Absent: stored. There: what the block makes of it.
    def merge_pair(key, value)
      while true # as in #modify
        return if add(key, value)

        item = get_item(key) or next
        return if cas(key, item[:version], yield(item[:value]))
      end
    end
  end

  # :section: Transaction

  # What the block of Store#transaction is given: the declared keys, as they were at one moment,
  # with what the block itself has put or removed. Other keys raise BadArgument, and so does
  # everything once the block has been left.
  class Transaction
    ##
    # :method: get
    # :call-seq: get(key) -> value or nil
    #
    # The value, or nil when there is none; also as <tt>txn[key]</tt>.

    ##
    # :method: exists
    # :call-seq: exists(key) -> true or false
    #
    # Whether there is a value; also +key?+.

    ##
    # :method: put
    # :call-seq: put(key, value) -> true
    #
    # Let +key+ have this value; also as <tt>txn[key] = value</tt>.

    ##
    # :method: delete
    # :call-seq: delete(key) -> true or false
    #
    # Let +key+ have none; tells whether it had one.

    alias [] get
    alias []= put
    alias exists? exists
    alias key? exists
    alias set_in_c set
    private :set_in_c

    # #put, with an end; options as of Store#set.
    def set(key, value, ttl: nil, bound: false)
      set_in_c(key, value, ttl, bound ? 1 : 0)
    end
  end

  # A walk over a Store, from Store#cursor. Used after its Store was closed, it raises Closed.
  class Cursor
    include Enumerable

    ##
    # :method: close
    # :call-seq: close -> true
    #
    # End the walk. May be repeated.

    ##
    # :method: position
    # :call-seq: position -> String
    #
    # Where it stands: 32 bytes, from which Store#cursor goes on.

    # The next pair of key and value, or key; nil at the end. Never blocks. Raises Stale when the
    # segment was replaced meanwhile.
    alias next step
    private :step

    # Yield what is left.
    def each
      return to_enum(:each) unless block_given?

      while (entry = self.next)
        yield entry
      end
      self
    end
  end

  private_class_method :unlink_segment, :library_version, :refuse_argument, :refuse_value
end
