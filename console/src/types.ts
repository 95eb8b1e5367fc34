// The shapes of api/openapi.yaml that the console uses.

export type Severity = "informational" | "low" | "medium" | "high" | "critical";
export type State = "open" | "acknowledged" | "closed";
export type Role = "viewer" | "analyst" | "admin";

export interface Session {
  username: string;
  role: Role;
  tenant?: string;
  must_change_password: boolean;
  version: string;
}

export interface Alert {
  id: string;
  rule_id: string;
  rule_name: string;
  severity: Severity;
  state: State;
  state_by?: string;
  state_at?: string;
  count: number;
  first_seen: string;
  last_seen: string;
  node: string;
  host: string;
  techniques: string[];
  summary: string;
  version: number;
}

export interface Process {
  pid: number;
  entity_id: string;
  name?: string;
  executable?: string;
  args: string[];
  args_length?: number;
  working_directory?: string;
  uid: number;
  user?: string;
  tty?: string;
  container_id?: string;
  sha256?: string;
}

export type Event = Record<string, unknown>;

export interface Evidence {
  id: string;
  time: string;
  event: Event;
  tree: Process[];
}

export interface Change {
  at: string;
  by: string;
  action: string;
  comment?: string;
}

export interface AlertDetail extends Alert {
  ruleset?: string;
  labels?: Record<string, string>;
  technique_names?: string[];
  tactics?: string[];
  description?: string;
  false_positives?: string[];
  references?: string[];
  tree: Process[];
  evidence: Evidence[];
  history?: Change[];
}

/** What a person says of an exception; all conditions given must hold. */
export interface ExceptionInput {
  executable?: string;
  parent?: string;
  user?: string;
  command_line?: string;
  labels?: Record<string, string>;
  reason: string;
  /** Until it expires; 0: never. */
  seconds: number;
}

export interface Exception {
  id: string;
  rule: string;
  executable?: string;
  parent?: string;
  user?: string;
  command_line?: string;
  labels?: Record<string, string>;
  created: string;
  expires?: string;
  author: string;
  reason: string;
  alert?: string;
}

export interface Sensor {
  name: string;
  method?: string;
  state: string;
  reason?: string;
}

export interface Node {
  id: string;
  host: string;
  kind: string;
  labels: Record<string, string>;
  state: string;
  since?: string;
  heard?: string;
  reason?: string;
  gateway?: string;
  address?: string;
  version?: string;
  os?: string;
  kernel?: string;
  arch?: string;
  mode?: string;
  stopped: boolean;
  backlog: number;
  config: { version: number; hash?: string; error?: string };
  revoked: boolean;
  incarnation: number;
  sensors: Sensor[];
  counters?: { name: string; label?: string; value: number }[];
  enrolled?: string;
}

export interface Status {
  ok: boolean;
  problems: string[];
  version: string;
  started: string;
  roles: { name: string; state: string; detail?: string }[];
  ingest: { stopped: boolean; reason?: string };
  addresses: { console?: string; nodes?: string };
  disk: { free: number; total: number; reserve: number };
  counters?: Record<string, number>;
  events: null | {
    rows: number;
    bytes: number;
    days: number;
    oldest?: string;
    newest?: string;
    produced: number;
    stored: number;
    rejected: Record<string, number>;
    dropped: Record<string, number>;
    difference: number;
  };
  nodes: null | { seen: number; online: number };
  alerts: null | { total: number; state: Record<string, number>; severity: Record<string, number> };
}

export interface Page<T> {
  items: T[];
  next?: string;
}
