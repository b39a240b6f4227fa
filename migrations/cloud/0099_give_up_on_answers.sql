-- How often the state's system answered in words that nobody knows: a document that it never takes must not keep all
-- behind it waiting for good.
alter table fiscal_documents add column answered integer not null default 0;

-- What was reported to a system for tries only is reported anew, from number one, to the one that counts.
grant delete on fiscal_documents to easyisp_app;
