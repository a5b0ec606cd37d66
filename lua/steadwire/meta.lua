---@meta steadwire
-- Types for the Lua language server; never loaded. tests/lua/test_meta.lua compares it with the
-- engine's lists and with the functions that there are.

---Seconds, or a text with a unit: "250ms", "1.5s", "2min", "1h".
---@alias steadwire.Duration number|string

---@alias steadwire.State
---| "idle"
---| "connecting"
---| "online"
---| "suspect"
---| "migrating"
---| "waiting"
---| "offline"
---| "closed"
---| "failed"

---@alias steadwire.Proof "none"|"stored"|"written"|"received"|"accepted"|"processed"

---@alias steadwire.MessageState
---| "queued"
---| "inflight"
---| "held"
---| "settled"
---| "expired"
---| "cancelled"
---| "dropped"
---| "dead"
---| "unknown"

---@alias steadwire.Lane "data"|"control"

---@alias steadwire.Guarantee "at_least_once"|"at_most_once"|"exactly_once"

---@alias steadwire.EventKind
---| "state"
---| "message"
---| "proof"
---| "message_ended"
---| "replay"
---| "gap"
---| "paused"
---| "resumed"
---| "outbox_room"
---| "no_pong"
---| "stale"
---| "credentials_needed"
---| "retry"
---| "store"
---| "downgraded"
---| "session_stale"
---| "closed"

---Why a call was refused, or a wait ended.
---@alias steadwire.Code string

---The options of a conn; docs/options.md explains each.
---@class steadwire.Options
---@field allow_downgrade? boolean default false
---@field ca_file? string
---@field causes? table<string|integer, string>
---@field client_cert? string
---@field client_key? string
---@field close_timeout? steadwire.Duration default 5s
---@field connect_timeout? steadwire.Duration default 30s
---@field credentials? "off"|"host"|steadwire.CredentialsFunction default off
---@field credentials_timeout? steadwire.Duration default 5s
---@field dead_letters? integer default 1000
---@field durability? "durable"|"process" default durable
---@field guarantee? "at_least_once"|"at_most_once"|"exactly_once" default at_least_once
---@field headers? table<string|integer, string>
---@field heartbeat? "ping"|"off" default ping
---@field heartbeat_idle_interval? steadwire.Duration default 0
---@field heartbeat_interval? steadwire.Duration default 15s
---@field heartbeat_timeout? steadwire.Duration default auto
---@field hedge? "auto"|"off" default auto
---@field inbound_buffer? integer|string default 4MiB
---@field inbound_from? string|integer|integer[]
---@field inbound_key? string
---@field inbound_overflow? "pause"|"drop_oldest"|"latest_by_key" default pause
---@field insecure? boolean default false
---@field max_message? integer|string default 16MiB
---@field max_silence? steadwire.Duration default 0
---@field name? string
---@field open_timeout? steadwire.Duration default 5s
---@field origin? string
---@field outbox? string
---@field outbox_bytes? integer|string default 64MiB
---@field outbox_messages? integer default 10000
---@field outbox_overflow? "reject"|"drop_oldest"|"drop_newest"|"coalesce" default reject
---@field processed? "auto"|"manual" default auto
---@field profile? "plain"|"session" default plain
---@field proxy? string
---@field ready_timeout? steadwire.Duration default 5s
---@field ready_when? string
---@field retry_cap? steadwire.Duration default 60s
---@field retry_window? steadwire.Duration default 1s
---@field server_name? string
---@field stale_action? "event"|"opening"|"relink" default event
---@field subprotocols? string|string[]
---@field unknown_fate? "replay"|"ask"|"fail" default replay
---@field url string|string[]
---@field user_agent? string

---@class steadwire.Credentials
---@field url? string
---@field token? string sent as "Authorization: Bearer <token>"
---@field headers? table<string, string>
---@field expires_in? steadwire.Duration until refused if it is not given

---@alias steadwire.CredentialsFunction fun(e: steadwire.CredentialsEvent): steadwire.Credentials?

---@class steadwire.SendOptions
---@field ttl? steadwire.Duration
---@field key? string a later message with the same key replaces this one while it is queued
---@field guarantee? steadwire.Guarantee
---@field lane? steadwire.Lane
---@field text? boolean true unless `binary` says otherwise
---@field binary? boolean
---@field wait? steadwire.Duration how long to wait for room in a full outbox

---What every event has; `at` is on the clock of steadwire.now.
---@class steadwire.Event
---@field kind steadwire.EventKind
---@field link integer generation of the link, 0 if none
---@field at number

---@class steadwire.Message: steadwire.Event
---@field data string
---@field text boolean
---@field lane steadwire.Lane
---@field replayed boolean the server had sent it on an earlier link already
---@field id? string nil if the server does not number its messages
---@field number? integer its place in its lane, for inbound_from

---@class steadwire.StateEvent: steadwire.Event
---@field from steadwire.State
---@field to steadwire.State
---@field cause string
---@field attempt integer
---@field delay number seconds until the next attempt
---@field close_code? integer
---@field http_status? integer
---@field resumed boolean
---@field detail string
---@field phases? table<string, number> seconds the link spent in each phase, when online

---@class steadwire.ProofEvent: steadwire.Event
---@field proof steadwire.Proof
---@field lane steadwire.Lane
---@field upto integer
---@field after integer those up to this one had settled with less and get no more
---@field settled integer every message of the lane up to this one is settled

---@class steadwire.EndedEvent: steadwire.Event
---@field id string
---@field number integer
---@field state steadwire.MessageState
---@field cause string
---@field detail string

---@class steadwire.ReplayEvent: steadwire.Event
---@field messages integer
---@field bytes integer

---@class steadwire.GapEvent: steadwire.Event
---@field reason string
---@field known boolean
---@field messages integer
---@field lane steadwire.Lane
---@field from? integer in a session: the first of the numbers that will never come
---@field to? integer

---@class steadwire.StoreEvent: steadwire.Event
---@field health string one of steadwire.words.stores
---@field messages integer when recovered or adopted: how many
---@field detail string

---@class steadwire.SessionStaleEvent: steadwire.Event
---@field messages integer whose fate is not known
---@field detail string

---@class steadwire.StaleEvent: steadwire.Event
---@field silence number

---@class steadwire.CredentialsEvent: steadwire.Event
---@field attempt integer
---@field why string
---@field deadline number seconds left to answer

---@class steadwire.RetryEvent: steadwire.Event
---@field cause string
---@field attempt integer
---@field delay number
---@field close_code? integer
---@field http_status? integer
---@field detail string

---@class steadwire.ClosedEvent: steadwire.Event
---@field cause string
---@field undelivered integer
---@field detail string

---@class steadwire.View
---@field state steadwire.State
---@field closing boolean
---@field cause string
---@field detail string
---@field attempt integer
---@field link integer
---@field since number
---@field next_attempt? number
---@field rtt? number
---@field outbox_messages integer
---@field outbox_bytes integer
---@field outbox_parked integer
---@field last_number integer number of the last message that was taken
---@field last_control_number integer the same of the control lane
---@field has_session boolean
---@field has_store boolean the outbox has a file, and it is well
---@field close_code? integer
---@field http_status? integer
---@field subprotocol string
---@field endpoint string

---@class steadwire.Entry
---@field id string
---@field number integer its place in its lane; 0: parked
---@field position integer
---@field lane steadwire.Lane
---@field cause? string why it is parked
---@field state steadwire.MessageState
---@field proof steadwire.Proof
---@field guarantee steadwire.Guarantee
---@field text boolean
---@field attempts integer times it was written
---@field size integer
---@field age number
---@field ttl_left? number
---@field key? string

---Handlers of one kind of event; the second argument is the conn.
---@alias steadwire.Handler fun(event: steadwire.Event, conn: steadwire.Conn)

---Told of an error in a handler: the message with its traceback, the event and the conn.
---@alias steadwire.Reporter fun(message: string, event?: steadwire.Event, conn?: steadwire.Conn)

---Receipts of messages that were taken, in order.
---@alias steadwire.Taken steadwire.Receipt[]

-- Where a function answers `string?, string?` at the end, these are the message and the code of a
-- refusal.

---@class steadwire
---@field version string
---@field words table<string, table> the engine's lists: states, causes, options, events, codes, ...
---@field connect fun(options: steadwire.Options): steadwire.Conn?, string?, string?
---@field run fun(...: steadwire.Conn): true?, string?, string? the code is the cause
---@field stop fun(): boolean true if an engine ran
---@field now fun(): number
---@field network fun(what: "up"|"down"|"changed"): true?, string?, string?
---@field outbox fun(path: string, may_edit?: boolean): steadwire.Outbox?, string?, string?
---@field on_error fun(fn?: steadwire.Reporter): steadwire.Reporter answers the one before

---@class steadwire.Conn
---@field on fun(self, kind: steadwire.EventKind, fn: steadwire.Handler): steadwire.Conn
---@field off fun(self, kind: steadwire.EventKind, fn?: steadwire.Handler): steadwire.Conn
---@field send fun(self, d: string, o?: steadwire.SendOptions): steadwire.Receipt?, string?, string?
---@field send_many fun(self, m: string[], o?: steadwire.SendOptions): steadwire.Taken?, string?
---@field recv fun(self, timeout?: steadwire.Duration): steadwire.Message?, string?, string?
---@field poll fun(self): steadwire.Event[]?, string?, string?
---@field dispatch fun(self): integer?, string?, string?
---@field wait fun(self, s?: steadwire.State, t?: steadwire.Duration): true?, string?, string?
---@field ack fun(self, message: steadwire.Message): true?, string?, string?
---@field opening fun(self, key: string, data?: string, o?: table): true?, string?, string?
---@field ready fun(self): true?, string?, string?
---@field supply fun(self, credentials: steadwire.Credentials): true?, string?, string?
---@field kick fun(self): true?, string?, string?
---@field reopen fun(self): true?, string?, string?
---@field close fun(self, t?: steadwire.Duration): true?, string?, string?, steadwire.Entry[]?
---@field state fun(self): steadwire.State?, string?, string?
---@field view fun(self): steadwire.View?, string?, string?
---@field stats fun(self): table<string, integer>?, string?, string?
---@field outbox fun(self): steadwire.Outbox
---@field cause fun(self): string?
---@field has_ended fun(self): boolean
---@field ended_as_asked fun(self): boolean
---@field pollfd fun(self): integer?, string?, string?
---@field events fun(): "r"
---@field timeout fun(self): integer? 0 while events wait that `dispatch` has not dealt with
---@field on_release fun(self, fn: fun(conn: steadwire.Conn)) called before the descriptor goes away
---@field is fun(value: any): boolean

---@class steadwire.Receipt
---@field id string
---@field number integer
---@field lane steadwire.Lane
---@field settled? boolean it was moved and has the proof it wants
---@field moved? boolean it has left its place
---@field conn steadwire.Conn
---@field ended? steadwire.EndedEvent how it ended without the proof it wanted
---@field proof fun(self): steadwire.Proof
---@field state fun(self): steadwire.MessageState?, string?, string?
---@field wait fun(self, p?: steadwire.Proof, t?: steadwire.Duration): true?, string?, string?
---@field cancel fun(self): true?, string?, string?

---@class steadwire.Filter
---@field state? steadwire.MessageState
---@field lane? steadwire.Lane
---@field key? string messages with exactly this key
---@field older_than? steadwire.Duration

---A message by its id, receipt or entry.
---@alias steadwire.Named string|steadwire.Receipt|steadwire.Entry

---@class steadwire.Report
---@field queued table<steadwire.Lane, integer>
---@field queued_bytes table<steadwire.Lane, integer>
---@field last_number table<steadwire.Lane, integer>
---@field held integer
---@field dead integer
---@field unknown integer
---@field file_bytes integer
---@field version integer
---@field clean boolean its last user closed it in order
---@field sound boolean
---@field detail string

---@class steadwire.Outbox
---@field page fun(self, c?: string, f?: steadwire.Filter): steadwire.Entry[]?, string?, string?
---@field list fun(self, max?: integer, f?: steadwire.Filter): steadwire.Entry[]?, string?, string?
---@field dead_letters fun(self, max?: integer): steadwire.Entry[]?, string?, string?
---@field held fun(self, max?: integer): steadwire.Entry[]?, string?, string?
---@field entry fun(self, m: steadwire.Named): steadwire.Entry?, string?, string?
---@field get fun(self, m: steadwire.Named): string?, string?, string? the body
---@field cancel fun(self, m: steadwire.Named): true?, string?, string?
---@field hold fun(self, m: steadwire.Named): true?, string?, string?
---@field release fun(self, m: steadwire.Named): true?, string?, string?
---@field requeue fun(self, m: steadwire.Named): true?, string?, string?
---@field prioritise fun(self, m: steadwire.Named): true?, string?, string?
---@field demote fun(self, m: steadwire.Named): true?, string?, string?
---@field export fun(self, path: string, f?: steadwire.Filter): integer?, string?, string?
---@field import fun(self, path: string): integer?, string?, string?
---@field check fun(self): steadwire.Report?, string?, string?
---@field close fun(self): true?, string?, string?
