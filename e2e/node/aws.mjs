// The AWS SDK for JavaScript at the demo's EC2, DynamoDB and EventBridge Scheduler.
//
//	node aws.mjs demo.json
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import * as ec2 from "@aws-sdk/client-ec2";
import * as dynamodb from "@aws-sdk/client-dynamodb";
import * as scheduler from "@aws-sdk/client-scheduler";

const demo = JSON.parse(readFileSync(process.argv[2], "utf8"));
const config = {
  endpoint: demo.aws.endpoint_url, region: demo.aws.region,
  credentials: { accessKeyId: demo.aws.access_key_id, secretAccessKey: demo.aws.secret_access_key },
};
const stranger = { ...config, maxAttempts: 1, credentials: { accessKeyId: demo.aws.access_key_id, secretAccessKey: "not-the-secret" } };
const id = demo.endpoint_id, subnet = demo.subnet_ids[0];

// refused runs a call that must fail with the code.
async function refused(code, call) {
  await assert.rejects(call, (e) => { assert.equal(e.name, code, e.message); return true; });
}

async function testEC2() {
  const c = new ec2.EC2Client(config);
  const endpoint = async () => (await c.send(new ec2.DescribeClientVpnEndpointsCommand({ ClientVpnEndpointIds: [id] }))).ClientVpnEndpoints[0];
  assert.equal((await endpoint()).Status.Code, "pending-associate");
  await refused("AuthFailure", new ec2.EC2Client(stranger).send(new ec2.DescribeClientVpnEndpointsCommand({})));
  await refused("InvalidClientVpnEndpointId.NotFound", c.send(new ec2.DescribeClientVpnTargetNetworksCommand({ ClientVpnEndpointId: "cvpn-endpoint-00000000000000000" })));

  const made = await c.send(new ec2.AssociateClientVpnTargetNetworkCommand({ ClientVpnEndpointId: id, SubnetId: subnet }));
  assert.match(made.AssociationId, /^cvpn-assoc-[0-9a-f]{17}$/);
  assert.equal(made.Status.Code, "associating");
  await refused("InvalidClientVpnDuplicateAssociationException", c.send(new ec2.AssociateClientVpnTargetNetworkCommand({ ClientVpnEndpointId: id, SubnetId: subnet })));

  const network = async () => (await c.send(new ec2.DescribeClientVpnTargetNetworksCommand({ ClientVpnEndpointId: id, AssociationIds: [made.AssociationId] }))).ClientVpnTargetNetworks?.[0]?.Status?.Code;
  const until = async (...wanted) => {
    for (let n = 0; n < 300; n++) {
      const status = await network().catch((e) => { if (e.name.endsWith("NotFound")) return "gone"; throw e; });
      if (wanted.includes(status)) return;
      await pause(100);
    }
    assert.fail(`the association is never ${wanted}`);
  };
  await until("associated");
  const routes = async () => (await c.send(new ec2.DescribeClientVpnRoutesCommand({ ClientVpnEndpointId: id }))).Routes ?? [];
  assert.ok((await routes()).some((r) => r.TargetSubnet === subnet && r.Origin === "associate"), "no local route after the association");
  await c.send(new ec2.CreateClientVpnRouteCommand({ ClientVpnEndpointId: id, DestinationCidrBlock: "10.99.0.0/16", TargetVpcSubnetId: subnet, Description: "from JavaScript" }));
  assert.ok((await routes()).some((r) => r.DestinationCidr === "10.99.0.0/16" && r.Description === "from JavaScript"), "the route that was made is not there");
  assert.deepEqual((await c.send(new ec2.DescribeClientVpnConnectionsCommand({ ClientVpnEndpointId: id }))).Connections ?? [], []);

  const ended = await c.send(new ec2.DisassociateClientVpnTargetNetworkCommand({ ClientVpnEndpointId: id, AssociationId: made.AssociationId }));
  assert.equal(ended.Status.Code, "disassociating");
  await until("disassociated", "gone", undefined);
  await refused("InvalidAction", c.send(new ec2.DescribeImagesCommand({})));
}

async function testDynamoDB() {
  const c = new dynamodb.DynamoDBClient(config), TableName = "nightlatch";
  assert.ok((await c.send(new dynamodb.ListTablesCommand({}))).TableNames.includes(TableName));
  assert.equal((await c.send(new dynamodb.DescribeTableCommand({ TableName }))).Table.TableStatus, "ACTIVE");
  const Key = { pk: { S: "e2e#javascript" }, sk: { S: "1" } };
  const once = { TableName, Item: { ...Key, n: { N: "1" }, words: { L: [{ S: "밤" }, { NULL: true }] } }, ConditionExpression: "attribute_not_exists(pk)" };
  await c.send(new dynamodb.PutItemCommand(once));
  await refused("ConditionalCheckFailedException", c.send(new dynamodb.PutItemCommand(once)));
  assert.deepEqual((await c.send(new dynamodb.GetItemCommand({ TableName, Key, ConsistentRead: true }))).Item, once.Item);
  const found = await c.send(new dynamodb.QueryCommand({ TableName, KeyConditionExpression: "pk = :p", ExpressionAttributeValues: { ":p": Key.pk } }));
  assert.equal(found.Count, 1);
  await c.send(new dynamodb.DeleteItemCommand({ TableName, Key }));
  assert.equal((await c.send(new dynamodb.GetItemCommand({ TableName, Key }))).Item, undefined);
  await refused("ResourceNotFoundException", c.send(new dynamodb.DescribeTableCommand({ TableName: "nobody" })));
  await refused("InvalidSignatureException", new dynamodb.DynamoDBClient(stranger).send(new dynamodb.ListTablesCommand({})));
}

async function testScheduler() {
  const c = new scheduler.SchedulerClient(config), GroupName = "nightlatch", Name = "e2e-javascript";
  const beat = await c.send(new scheduler.GetScheduleCommand({ GroupName, Name: "nightlatch-beat" }));
  assert.equal(beat.ScheduleExpression, "rate(1 minute)");
  await c.send(new scheduler.CreateScheduleCommand({
    GroupName, Name, ScheduleExpression: "at(2099-01-01T00:00:00)", FlexibleTimeWindow: { Mode: "OFF" }, ActionAfterCompletion: "DELETE",
    Target: { Arn: "arn:aws:scheduler:::aws-sdk:ec2:disassociateClientVpnTargetNetwork", RoleArn: beat.Target.RoleArn,
      Input: JSON.stringify({ ClientVpnEndpointId: id, AssociationId: "cvpn-assoc-00000000000000000" }) },
  }));
  const list = await c.send(new scheduler.ListSchedulesCommand({ GroupName, NamePrefix: "e2e-" }));
  assert.deepEqual(list.Schedules.map((s) => s.Name), [Name]);
  await refused("ConflictException", c.send(new scheduler.CreateScheduleCommand({
    GroupName, Name, ScheduleExpression: "at(2099-01-01T00:00:00)", FlexibleTimeWindow: { Mode: "OFF" }, Target: { Arn: beat.Target.Arn, RoleArn: beat.Target.RoleArn },
  })));
  await c.send(new scheduler.DeleteScheduleCommand({ GroupName, Name }));
  await refused("ResourceNotFoundException", c.send(new scheduler.GetScheduleCommand({ GroupName, Name })));
}

for (const test of [testEC2, testDynamoDB, testScheduler]) {
  await test();
  console.log("ok", test.name);
}
