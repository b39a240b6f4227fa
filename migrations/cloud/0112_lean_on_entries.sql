-- Every row of a recharge checked that its tenant is there, which locks the tenant's row: thirteen times in one recharge, by
-- all who pay at that moment, and a twentieth of what it costs. An entry still does, and what is money leans on an entry;
-- row security lets nobody write for a tenant who is not his own, and a tenant's row goes a month after he did, last of all.
-- First what everybody reads first: whoever pays meanwhile waits before he holds anything.
lock table tenants, directory.tenants in access exclusive mode;
alter table payments drop constraint payments_tenant_id_fkey;
alter table periods drop constraint periods_tenant_id_fkey;
alter table messages drop constraint messages_tenant_id_fkey;
alter table audit drop constraint audit_tenant_id_fkey;
alter table chain drop constraint chain_tenant_id_fkey;
alter table unsealed drop constraint unsealed_tenant_id_fkey;
alter table untallied drop constraint untallied_tenant_id_fkey;
-- The same lock on the directory's row, for every piece of work that falls due; a tenant's row there stays for good.
alter table directory.jobs drop constraint jobs_tenant_id_fkey;
