-- +goose Up

-- Who changed what, or tried to. It refers to nothing: it outlives tokens and publishers.
CREATE TABLE audit (
    id          TEXT   NOT NULL PRIMARY KEY,
    at          BIGINT NOT NULL,
    token       TEXT   NOT NULL, -- its id
    token_label TEXT   NOT NULL,
    publisher   TEXT   NOT NULL, -- empty where it concerns none, or all
    operation   TEXT   NOT NULL,
    method      TEXT   NOT NULL,
    path        TEXT   NOT NULL,
    status      BIGINT NOT NULL,
    remote      TEXT   NOT NULL,
    fields      TEXT   NOT NULL  -- what the request set, without secrets, a JSON object
);

CREATE INDEX audit_by_time ON audit (at, id);
CREATE INDEX audit_of_publisher ON audit (publisher, at, id);
CREATE INDEX audit_of_token ON audit (token, at, id);
CREATE INDEX audit_of_operation ON audit (operation, at, id);
