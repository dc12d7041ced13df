-- What a store of version 5 holds: the schema and rows of a node with tokens that expire.
CREATE TABLE networks (name TEXT PRIMARY KEY, spec TEXT NOT NULL) STRICT;
CREATE TABLE flavors (name TEXT PRIMARY KEY, spec TEXT NOT NULL) STRICT;
CREATE TABLE images (name TEXT PRIMARY KEY, id TEXT NOT NULL, size INTEGER NOT NULL) STRICT;
CREATE TABLE instances (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, spec TEXT NOT NULL, instance TEXT NOT NULL, running TEXT,
    console TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE addresses (
    network TEXT NOT NULL, address TEXT NOT NULL, instance TEXT NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    PRIMARY KEY (network, address)
) STRICT, WITHOUT ROWID;
CREATE INDEX addresses_of ON addresses (instance);
CREATE TABLE timelines (
    seq INTEGER PRIMARY KEY, instance TEXT NOT NULL, name TEXT NOT NULL, request TEXT NOT NULL,
    begun INTEGER NOT NULL, timeline TEXT NOT NULL
) STRICT;
CREATE INDEX timelines_of ON timelines (instance);
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL
) STRICT;
CREATE TABLE requests (key TEXT PRIMARY KEY, body TEXT NOT NULL, instance TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

INSERT INTO networks VALUES ('blue', '{"name":"blue","subnet":"10.0.0.0/24","gateway":"10.0.0.1","host":{"tap":"blue","address":"10.0.0.1/24"},"point_to_point":false,"mtu":1500}');
INSERT INTO networks VALUES ('wire', '{"name":"wire","uplink":{"interfaces":["eth1","eth2"],"mode":"802.3ad"},"point_to_point":true,"mtu":9000}');
INSERT INTO flavors VALUES ('small', '{"name":"small","memory_mib":8,"send_mbit":100.0,"queue":256,"poll_us":50}');
INSERT INTO images VALUES ('mine', '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08', 4);
INSERT INTO instances VALUES ('0193773b-8c00-7000-8000-000000000001', 'firewall', '{"name":"firewall","image":"clickos","config":"FromDevice(eth0) -> Discard;","variables":{"LIMIT":"10"},"flavor":"small","devices":[{"network":"blue"}],"labels":{"app":"fw"},"restart":"always"}', '{"id":"0193773b-8c00-7000-8000-000000000001","name":"firewall","state":"ready","image":"clickos","memory_mib":8,"devices":[{"network":"blue","port":"7000-8000-000000000001-0","mac":"02:4d:56:00:00:01","address":"10.0.0.2","prefix":24,"gateway":"10.0.0.1","anti_spoofing":true}],"labels":{"app":"fw"},"restart":"always","restarts":2,"pid":4711,"created_unix_ns":1764000000000000000,"ready_ns":8100000}', '{"pid":4711,"began":123456,"request":"req-1","begun":1000,"begun_unix_ns":1764000000000000000,"phases":[["request",1000,2000],["network",2000,3000]]}', '');
INSERT INTO instances VALUES ('0193773b-8c00-7000-8000-000000000002', 'idle', '{"name":"idle","image":"mine","restart":"never"}', '{"id":"0193773b-8c00-7000-8000-000000000002","name":"idle","state":"failed","reason":"the guest panicked","status":101,"image":"mine","memory_mib":4,"devices":[],"labels":{},"restart":"never","restarts":0,"created_unix_ns":1764000000000000001}', NULL, 'its last words');
INSERT INTO addresses VALUES ('blue', '10.0.0.2', '0193773b-8c00-7000-8000-000000000001');
INSERT INTO timelines VALUES (1, '0193773b-8c00-7000-8000-000000000001', 'firewall', 'req-1', 1764000000000000000, '{"origin":1000,"tsc_hz":2000000000,"spans":[{"phase":"request","start_ns":0,"end_ns":500},{"phase":"spawn","start_ns":500,"end_ns":9000,"inside":[{"phase":"create","start_ns":600,"end_ns":700}]},{"phase":"first-packet","start_ns":9000,"end_ns":10000}]}');
INSERT INTO events VALUES (7, 1764000000000000000, 'instance.created', 'firewall', 'null');
INSERT INTO requests VALUES ('key', 'digest', '0193773b-8c00-7000-8000-000000000001', 1764000000000000000);
INSERT INTO facts VALUES ('switch', '{"pid":4712,"began":123450}');
CREATE TABLE external (
    seq INTEGER PRIMARY KEY, instance TEXT NOT NULL, request TEXT NOT NULL, source TEXT NOT NULL, name TEXT NOT NULL,
    start INTEGER NOT NULL, end INTEGER NOT NULL
) STRICT;
CREATE INDEX external_of ON external (instance, request);
INSERT INTO external VALUES (1, '0193773b-8c00-7000-8000-000000000001', 'req-1', 'nova', 'scheduling', 1763999999000000000, 1764000000000000000);
INSERT INTO instances VALUES ('0193773b-8c00-7000-8000-000000000003', 'sleeps', '{"name":"sleeps","image":"clickos","config":"Idle -> Discard;","devices":[{"network":"blue"}],"restart":"never","on_demand":{"idle_s":60}}', '{"id":"0193773b-8c00-7000-8000-000000000003","name":"sleeps","state":"waiting","image":"clickos","memory_mib":8,"devices":[{"network":"blue","port":"7000-8000-000000000003-0","mac":"02:4d:56:00:00:03","address":"10.0.0.3","prefix":24,"gateway":"10.0.0.1","anti_spoofing":true}],"labels":{},"restart":"never","on_demand":{"idle_s":60},"restarts":0,"created_unix_ns":1764000000000000002}', NULL, '');
INSERT INTO addresses VALUES ('blue', '10.0.0.3', '0193773b-8c00-7000-8000-000000000003');
CREATE TABLE tokens (name TEXT PRIMARY KEY, role TEXT NOT NULL, digest TEXT NOT NULL UNIQUE) STRICT;
INSERT INTO tokens VALUES ('nova', '"admin"', '5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8');
ALTER TABLE instances ADD COLUMN desired TEXT;
UPDATE instances SET desired = '{"goal":"running","fresh_run":false,"grace_ms":2000,"not_before_unix_ns":0,"pause_ms":0,"replaced_config":null}' WHERE name = 'firewall';
ALTER TABLE tokens ADD COLUMN expires INTEGER;
ALTER TABLE tokens ADD COLUMN used INTEGER;
UPDATE tokens SET expires = 4102444800000000000;
PRAGMA user_version = 5;
