"""Real clients find their way in: the vendor's IAM SDK and openstacksdk, unmodified."""

from typing import Any

import openstack
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials, GlobalCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.region.region import Region
from huaweicloudsdkdcs.v2 import DcsClient, ListMigrationTaskRequest
from huaweicloudsdkiam.v3 import (
    AuthScope,
    AuthScopeProject,
    CreateTemporaryAccessKeyByTokenRequest,
    CreateTemporaryAccessKeyByTokenRequestBody,
    IamClient,
    KeystoneCreateUserTokenByPasswordRequest,
    KeystoneCreateUserTokenByPasswordRequestBody,
    KeystoneListAuthDomainsRequest,
    KeystoneListAuthProjectsRequest,
    KeystoneListProjectsRequest,
    KeystoneListRegionsRequest,
    KeystoneShowCatalogRequest,
    KeystoneShowProjectRequest,
    KeystoneShowUserRequest,
    PwdAuth,
    PwdIdentity,
    PwdPassword,
    PwdPasswordUser,
    PwdPasswordUserDomain,
    TokenAuth,
    TokenAuthIdentity,
)

from tests.api.service import AK, DOMAIN, PASSWORD, PROJECT, REGION, SECOND_PROJECT, SK, USER, Service

pytestmark = [
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning"),
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning"),
]


@pytest.fixture(scope="module")
def iam(service: Service) -> Any:
    credentials = GlobalCredentials(AK, SK, DOMAIN)
    return IamClient.new_builder().with_credentials(credentials).with_endpoint(service.url).build()


def test_the_iam_sdk_looks_around(iam: Any) -> None:
    projects = iam.keystone_list_auth_projects(KeystoneListAuthProjectsRequest()).projects
    assert [it.id for it in projects] == [PROJECT, SECOND_PROJECT]
    named = iam.keystone_list_projects(KeystoneListProjectsRequest(name=REGION)).projects
    assert [it.id for it in named] == [PROJECT]
    assert iam.keystone_show_project(KeystoneShowProjectRequest(project_id=PROJECT)).project.name == REGION
    domains = iam.keystone_list_auth_domains(KeystoneListAuthDomainsRequest()).domains
    assert [it.id for it in domains] == [DOMAIN]
    regions = iam.keystone_list_regions(KeystoneListRegionsRequest()).regions
    assert [it.id for it in regions] == [REGION, "eu-test-2"]
    assert iam.keystone_show_user(KeystoneShowUserRequest(user_id=USER)).user.name == "demo"
    catalog = iam.keystone_show_catalog(KeystoneShowCatalogRequest()).catalog
    assert {it.type for it in catalog} >= {"identity", "drs", "dcs"}


def login(password: str) -> KeystoneCreateUserTokenByPasswordRequest:
    user = PwdPasswordUser(domain=PwdPasswordUserDomain(name="acme"), name="demo", password=password)
    identity = PwdIdentity(methods=["password"], password=PwdPassword(user=user))
    auth = PwdAuth(identity=identity, scope=AuthScope(project=AuthScopeProject(name=REGION)))
    return KeystoneCreateUserTokenByPasswordRequest(body=KeystoneCreateUserTokenByPasswordRequestBody(auth=auth))


def test_the_iam_sdk_logs_in(service: Service, iam: Any) -> None:
    answer = iam.keystone_create_user_token_by_password(login(PASSWORD))
    assert answer.token.project.id == PROJECT
    with service.client(answer.x_subject_token) as client:
        assert client.get(f"/v2/{PROJECT}/migration-tasks").status_code == 200
    with pytest.raises(ClientRequestException) as no:
        iam.keystone_create_user_token_by_password(login("wrong"))
    assert no.value.status_code == 401
    assert no.value.error_msg == "The username or password is wrong."


def test_a_temporary_key_opens_dcs_with_its_security_token_alone(service: Service, iam: Any) -> None:
    identity = TokenAuthIdentity(methods=["token"])
    body = CreateTemporaryAccessKeyByTokenRequestBody(auth=TokenAuth(identity=identity))
    credential = iam.create_temporary_access_key_by_token(
        CreateTemporaryAccessKeyByTokenRequest(body=body)
    ).credential
    credentials = BasicCredentials(credential.access, credential.secret, PROJECT)
    builder = DcsClient.new_builder().with_endpoint(service.url)

    bare = builder.with_credentials(credentials).build()
    with pytest.raises(ClientRequestException) as no:
        bare.list_migration_task(ListMigrationTaskRequest())
    assert (no.value.status_code, no.value.error_code) == (401, "APIGW.0301")
    assert "security token" in no.value.error_msg

    whole = builder.with_credentials(credentials.with_security_token(credential.securitytoken)).build()
    assert whole.list_migration_task(ListMigrationTaskRequest()).count == 0

    wrong = builder.with_credentials(credentials.with_security_token("nonsense")).build()
    with pytest.raises(ClientRequestException):
        wrong.list_migration_task(ListMigrationTaskRequest())


def test_global_credentials_find_their_domain(service: Service) -> None:
    credentials = GlobalCredentials(AK, SK).with_iam_endpoint(service.url)
    builder = IamClient.new_builder().with_credentials(credentials)
    client = builder.with_region(Region(REGION, service.url)).build()
    assert len(client.keystone_list_auth_projects(KeystoneListAuthProjectsRequest()).projects) == 2
    assert credentials.domain_id == DOMAIN


def connect(auth_url: str, **more: Any) -> Any:
    """openstacksdk as a user sets it up, but for files and variables that may lie around."""
    user = {"username": "demo", "password": PASSWORD, "user_domain_name": "acme"}
    project = {"project_name": REGION, "project_domain_name": "acme", "region_name": REGION}
    settings = {**user, **project, "auth_url": auth_url, "load_yaml_config": False, "load_envvars": False}
    return openstack.connect(**{**settings, **more})


def tasks(connection: Any) -> Any:
    return connection.session.get("/migration-tasks", endpoint_filter={"service_type": "dcsv2"})


@pytest.mark.parametrize("suffix", ["/v3", ""])
def test_openstacksdk_logs_in_with_a_password(service: Service, suffix: str) -> None:
    with connect(service.url + suffix) as connection:
        assert connection.current_project_id == PROJECT
        assert tasks(connection).json()["migration_tasks"] == []
        assert [it.id for it in connection.identity.projects()] == [PROJECT, SECOND_PROJECT]
        assert REGION in [it.id for it in connection.identity.regions()]


def test_openstacksdk_logs_in_with_a_token(service: Service) -> None:
    connection = openstack.connect(
        auth_type="token",
        auth_url=f"{service.url}/v3",
        token=service.token(None),
        project_id=PROJECT,
        region_name=REGION,
        load_yaml_config=False,
        load_envvars=False,
    )
    with connection:
        assert connection.current_project_id == PROJECT
        assert tasks(connection).status_code == 200


def test_openstacksdk_is_told_that_the_password_is_wrong(service: Service) -> None:
    with (
        connect(f"{service.url}/v3", password="wrong") as connection,
        pytest.raises(Exception, match="The username or password is wrong"),
    ):
        connection.authorize()


def test_a_session_gets_a_new_token_once_the_old_one_is_refused(service: Service) -> None:
    with connect(f"{service.url}/v3") as connection:
        old = connection.auth_token
        with service.client(old) as client:
            assert client.delete("/v3/auth/tokens", headers={"X-Subject-Token": old}).status_code == 204
        assert tasks(connection).status_code == 200
        assert connection.auth_token != old
