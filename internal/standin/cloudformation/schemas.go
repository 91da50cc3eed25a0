package cloudformation

// schema is what CloudFormation knows of a type at the top level of its properties.
type schema struct {
	properties string // that a template may set
	required   string
	recreate   string // create-only: a change needs a new resource
	perhaps    string // conditionally create-only
	attributes string // of Fn::GetAtt
	primary    string // the property that is the physical id, where a template can set it
}

// schemas are the types that this stand-in knows, by name; lists are separated by spaces. They are AWS's own resource type
// schemas (properties, required, createOnlyProperties, conditionalCreateOnlyProperties, readOnlyProperties,
// primaryIdentifier), in the edition of eu-central-1 that cfn-lint 1.51.0 brings, and two attributes that
// the Template Reference has beside them: a queue's QueueName and a security group's VpcId.
var schemas = map[string]schema{
	"AWS::ApiGatewayV2::Api": {
		properties: "ApiKeySelectionExpression BasePath Body BodyS3Location CorsConfiguration CredentialsArn Description DisableExecuteApiEndpoint DisableSchemaValidation FailOnWarnings IpAddressType Name ProtocolType RouteKey RouteSelectionExpression Tags Target Version",
		recreate:   "ProtocolType",
		attributes: "ApiEndpoint ApiId",
	},
	"AWS::ApiGatewayV2::ApiGatewayManagedOverrides": {
		properties: "ApiId Integration Route Stage",
		required:   "ApiId",
		recreate:   "ApiId",
		attributes: "Id",
	},
	"AWS::ApiGatewayV2::ApiMapping": {
		properties: "ApiId ApiMappingKey DomainName Stage",
		required:   "ApiId DomainName Stage",
		recreate:   "DomainName",
		attributes: "ApiMappingId",
	},
	"AWS::ApiGatewayV2::Authorizer": {
		properties: "ApiId AuthorizerCredentialsArn AuthorizerPayloadFormatVersion AuthorizerResultTtlInSeconds AuthorizerType AuthorizerUri EnableSimpleResponses IdentitySource IdentityValidationExpression JwtConfiguration Name",
		required:   "ApiId AuthorizerType Name",
		recreate:   "ApiId",
		attributes: "AuthorizerId",
	},
	"AWS::ApiGatewayV2::Deployment": {
		properties: "ApiId Description StageName",
		required:   "ApiId",
		recreate:   "ApiId",
		attributes: "DeploymentId",
	},
	"AWS::ApiGatewayV2::DomainName": {
		properties: "DomainName DomainNameConfigurations MutualTlsAuthentication RoutingMode Tags",
		required:   "DomainName",
		recreate:   "DomainName",
		attributes: "DomainNameArn RegionalDomainName RegionalHostedZoneId",
		primary:    "DomainName",
	},
	"AWS::ApiGatewayV2::Integration": {
		properties: "ApiId ConnectionId ConnectionType ContentHandlingStrategy CredentialsArn Description IntegrationMethod IntegrationSubtype IntegrationType IntegrationUri PassthroughBehavior PayloadFormatVersion RequestParameters RequestTemplates ResponseParameters TemplateSelectionExpression TimeoutInMillis TlsConfig",
		required:   "ApiId IntegrationType",
		recreate:   "ApiId",
		attributes: "IntegrationId",
	},
	"AWS::ApiGatewayV2::IntegrationResponse": {
		properties: "ApiId ContentHandlingStrategy IntegrationId IntegrationResponseKey ResponseParameters ResponseTemplates TemplateSelectionExpression",
		required:   "ApiId IntegrationId IntegrationResponseKey",
		recreate:   "ApiId IntegrationId",
		attributes: "IntegrationResponseId",
	},
	"AWS::ApiGatewayV2::Model": {
		properties: "ApiId ContentType Description Name Schema",
		required:   "ApiId Name Schema",
		recreate:   "ApiId",
		attributes: "ModelId",
	},
	"AWS::ApiGatewayV2::Route": {
		properties: "ApiId ApiKeyRequired AuthorizationScopes AuthorizationType AuthorizerId ModelSelectionExpression OperationName RequestModels RequestParameters RouteKey RouteResponseSelectionExpression Target",
		required:   "ApiId RouteKey",
		recreate:   "ApiId",
		attributes: "RouteId",
	},
	"AWS::ApiGatewayV2::RouteResponse": {
		properties: "ApiId ModelSelectionExpression ResponseModels ResponseParameters RouteId RouteResponseKey",
		required:   "ApiId RouteId RouteResponseKey",
		recreate:   "ApiId RouteId",
		attributes: "RouteResponseId",
	},
	"AWS::ApiGatewayV2::RoutingRule": {
		properties: "Actions Conditions DomainNameArn Priority",
		required:   "Actions Conditions DomainNameArn Priority",
		recreate:   "DomainNameArn",
		attributes: "RoutingRuleArn RoutingRuleId",
	},
	"AWS::ApiGatewayV2::Stage": {
		properties: "AccessLogSettings ApiId AutoDeploy ClientCertificateId DefaultRouteSettings DeploymentId Description RouteSettings StageName StageVariables Tags",
		required:   "ApiId StageName",
		recreate:   "ApiId StageName",
		attributes: "Id",
	},
	"AWS::ApiGatewayV2::VpcLink": {
		properties: "Name SecurityGroupIds SubnetIds Tags",
		required:   "Name SubnetIds",
		recreate:   "SecurityGroupIds SubnetIds",
		attributes: "VpcLinkId",
	},
	"AWS::CertificateManager::Certificate": {
		properties: "CertificateAuthorityArn CertificateExport CertificateTransparencyLoggingPreference DomainName DomainValidationOptions KeyAlgorithm SubjectAlternativeNames Tags ValidationMethod",
		required:   "DomainName",
		recreate:   "CertificateAuthorityArn DomainName DomainValidationOptions KeyAlgorithm SubjectAlternativeNames ValidationMethod",
		attributes: "Id",
	},
	"AWS::CloudWatch::Alarm": {
		properties: "ActionsEnabled AlarmActions AlarmDescription AlarmName ComparisonOperator DatapointsToAlarm Dimensions EvaluateLowSampleCountPercentile EvaluationCriteria EvaluationInterval EvaluationPeriods ExtendedStatistic InsufficientDataActions MetricName Metrics Namespace OKActions Period Statistic Tags Threshold ThresholdMetricId TreatMissingData Unit",
		recreate:   "AlarmName",
		attributes: "Arn",
		primary:    "AlarmName",
	},
	"AWS::CloudWatch::AlarmMuteRule": {
		properties: "Description ExpireDate MuteTargets Name Rule StartDate Tags",
		required:   "Rule",
		recreate:   "Name",
		attributes: "Arn LastUpdatedTimestamp MuteType Status",
	},
	"AWS::CloudWatch::AnomalyDetector": {
		properties: "Configuration Dimensions MetricCharacteristics MetricMathAnomalyDetector MetricName Namespace SingleMetricAnomalyDetector Stat",
		recreate:   "Dimensions MetricCharacteristics MetricMathAnomalyDetector MetricName Namespace SingleMetricAnomalyDetector Stat",
		attributes: "Id",
	},
	"AWS::CloudWatch::CompositeAlarm": {
		properties: "ActionsEnabled ActionsSuppressor ActionsSuppressorExtensionPeriod ActionsSuppressorWaitPeriod AlarmActions AlarmDescription AlarmName AlarmRule InsufficientDataActions OKActions Tags",
		required:   "AlarmRule",
		recreate:   "AlarmName",
		attributes: "Arn",
		primary:    "AlarmName",
	},
	"AWS::CloudWatch::Dashboard": {
		properties: "DashboardBody DashboardName Tags",
		required:   "DashboardBody",
		recreate:   "DashboardName",
		primary:    "DashboardName",
	},
	"AWS::CloudWatch::InsightRule": {
		properties: "ApplyOnTransformedLogs RuleBody RuleName RuleState Tags",
		required:   "RuleBody RuleName RuleState",
		recreate:   "RuleName",
		attributes: "Arn Id",
	},
	"AWS::CloudWatch::MetricStream": {
		properties: "ExcludeFilters FirehoseArn IncludeFilters IncludeLinkedAccountsMetrics Name OutputFormat RoleArn StatisticsConfigurations Tags",
		recreate:   "Name",
		attributes: "Arn CreationDate LastUpdateDate State",
		primary:    "Name",
	},
	"AWS::Cognito::LogDeliveryConfiguration": {
		properties: "LogConfigurations UserPoolId",
		required:   "UserPoolId",
		recreate:   "UserPoolId",
		attributes: "Id",
	},
	"AWS::Cognito::ManagedLoginBranding": {
		properties: "Assets ClientId ReturnMergedResources Settings UseCognitoProvidedValues UserPoolId",
		required:   "UserPoolId",
		recreate:   "ClientId UserPoolId",
		attributes: "ManagedLoginBrandingId",
	},
	"AWS::Cognito::Terms": {
		properties: "ClientId Enforcement Links TermsName TermsSource UserPoolId",
		required:   "Enforcement Links TermsName TermsSource UserPoolId",
		recreate:   "ClientId UserPoolId",
		attributes: "TermsId",
	},
	"AWS::Cognito::UserPool": {
		properties: "AccountRecoverySetting AdminCreateUserConfig AliasAttributes AutoVerifiedAttributes DeletionProtection DeviceConfiguration EmailAuthenticationMessage EmailAuthenticationSubject EmailConfiguration EmailVerificationMessage EmailVerificationSubject EnabledMfas LambdaConfig MfaConfiguration Policies Schema SmsAuthenticationMessage SmsConfiguration SmsVerificationMessage UserAttributeUpdateSettings UserPoolAddOns UserPoolName UserPoolTags UserPoolTier UsernameAttributes UsernameConfiguration VerificationMessageTemplate WebAuthnFactorConfiguration WebAuthnRelyingPartyID WebAuthnUserVerification",
		attributes: "Arn ProviderName ProviderURL UserPoolId",
	},
	"AWS::Cognito::UserPoolClient": {
		properties: "AccessTokenValidity AllowedOAuthFlows AllowedOAuthFlowsUserPoolClient AllowedOAuthScopes AnalyticsConfiguration AuthSessionValidity CallbackURLs ClientName DefaultRedirectURI EnablePropagateAdditionalUserContextData EnableTokenRevocation ExplicitAuthFlows GenerateSecret IdTokenValidity LogoutURLs PreventUserExistenceErrors ReadAttributes RefreshTokenRotation RefreshTokenValidity SupportedIdentityProviders TokenValidityUnits UserPoolId WriteAttributes",
		required:   "UserPoolId",
		recreate:   "GenerateSecret UserPoolId",
		attributes: "ClientId ClientSecret Name",
	},
	"AWS::Cognito::UserPoolDomain": {
		properties: "CustomDomainConfig Domain ManagedLoginVersion UserPoolId",
		required:   "Domain UserPoolId",
		recreate:   "Domain UserPoolId",
		attributes: "CloudFrontDistribution",
	},
	"AWS::Cognito::UserPoolGroup": {
		properties: "Description GroupName Precedence RoleArn UserPoolId",
		required:   "UserPoolId",
		recreate:   "GroupName UserPoolId",
	},
	"AWS::Cognito::UserPoolIdentityProvider": {
		properties: "AttributeMapping IdpIdentifiers ProviderDetails ProviderName ProviderType UserPoolId",
		required:   "ProviderDetails ProviderName ProviderType UserPoolId",
		recreate:   "ProviderName ProviderType UserPoolId",
	},
	"AWS::Cognito::UserPoolResourceServer": {
		properties: "Identifier Name Scopes UserPoolId",
		required:   "Identifier Name UserPoolId",
		recreate:   "Identifier UserPoolId",
	},
	"AWS::Cognito::UserPoolRiskConfigurationAttachment": {
		properties: "AccountTakeoverRiskConfiguration ClientId CompromisedCredentialsRiskConfiguration RiskExceptionConfiguration UserPoolId",
		required:   "ClientId UserPoolId",
		recreate:   "ClientId UserPoolId",
	},
	"AWS::Cognito::UserPoolUICustomizationAttachment": {
		properties: "CSS ClientId UserPoolId",
		required:   "ClientId UserPoolId",
		recreate:   "ClientId UserPoolId",
	},
	"AWS::DynamoDB::Table": {
		properties: "AttributeDefinitions BillingMode ContributorInsightsSpecification DeletionProtectionEnabled GlobalSecondaryIndexes ImportSourceSpecification KeySchema KinesisStreamSpecification LocalSecondaryIndexes OnDemandThroughput PointInTimeRecoverySpecification ProvisionedThroughput ResourcePolicy SSESpecification StreamSpecification TableClass TableName Tags TimeToLiveSpecification WarmThroughput",
		required:   "KeySchema",
		recreate:   "ImportSourceSpecification TableName",
		perhaps:    "KeySchema",
		attributes: "Arn StreamArn",
		primary:    "TableName",
	},
	"AWS::EC2::SecurityGroup": {
		properties: "GroupDescription GroupName SecurityGroupEgress SecurityGroupIngress Tags VpcId",
		required:   "GroupDescription",
		recreate:   "GroupDescription GroupName VpcId",
		attributes: "GroupId Id VpcId",
	},
	"AWS::EC2::SecurityGroupEgress": {
		properties: "CidrIp CidrIpv6 Description DestinationPrefixListId DestinationSecurityGroupId FromPort GroupId IpProtocol ToPort",
		required:   "GroupId IpProtocol",
		recreate:   "CidrIp CidrIpv6 DestinationPrefixListId DestinationSecurityGroupId FromPort GroupId IpProtocol ToPort",
		attributes: "Id",
	},
	"AWS::EC2::SecurityGroupIngress": {
		properties: "CidrIp CidrIpv6 Description FromPort GroupId GroupName IpProtocol SourcePrefixListId SourceSecurityGroupId SourceSecurityGroupName SourceSecurityGroupOwnerId ToPort",
		required:   "IpProtocol",
		recreate:   "CidrIp CidrIpv6 FromPort GroupId GroupName IpProtocol SourcePrefixListId SourceSecurityGroupId SourceSecurityGroupName SourceSecurityGroupOwnerId ToPort",
		attributes: "Id",
	},
	"AWS::ElasticLoadBalancingV2::Listener": {
		properties: "AlpnPolicy Certificates DefaultActions ListenerAttributes LoadBalancerArn MutualAuthentication Port Protocol SslPolicy",
		required:   "DefaultActions LoadBalancerArn",
		recreate:   "LoadBalancerArn",
		attributes: "ListenerArn",
	},
	"AWS::ElasticLoadBalancingV2::ListenerCertificate": {
		properties: "Certificates ListenerArn",
		required:   "Certificates ListenerArn",
		recreate:   "ListenerArn",
		attributes: "Id",
	},
	"AWS::ElasticLoadBalancingV2::ListenerRule": {
		properties: "Actions Conditions ListenerArn Priority Transforms",
		required:   "Actions Conditions Priority",
		recreate:   "ListenerArn",
		attributes: "IsDefault RuleArn",
	},
	"AWS::ElasticLoadBalancingV2::LoadBalancer": {
		properties: "EnableCapacityReservationProvisionStabilize EnablePrefixForIpv6SourceNat EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic IpAddressType Ipv4IpamPoolId LoadBalancerAttributes MinimumLoadBalancerCapacity Name Scheme SecurityGroups SubnetMappings Subnets Tags Type",
		recreate:   "Name Scheme Type",
		attributes: "CanonicalHostedZoneID DNSName LoadBalancerArn LoadBalancerFullName LoadBalancerName",
	},
	"AWS::ElasticLoadBalancingV2::TargetGroup": {
		properties: "HealthCheckEnabled HealthCheckIntervalSeconds HealthCheckPath HealthCheckPort HealthCheckProtocol HealthCheckTimeoutSeconds HealthyThresholdCount IpAddressType Matcher Name Port Protocol ProtocolVersion Tags TargetControlPort TargetGroupAttributes TargetType Targets UnhealthyThresholdCount VpcId",
		recreate:   "IpAddressType Name Port Protocol ProtocolVersion TargetType VpcId",
		attributes: "LoadBalancerArns TargetGroupArn TargetGroupFullName TargetGroupName",
	},
	"AWS::IAM::Policy": {
		properties: "Groups PolicyDocument PolicyName Roles Users",
		required:   "PolicyDocument PolicyName",
		attributes: "Id",
	},
	"AWS::IAM::Role": {
		properties: "AssumeRolePolicyDocument Description ManagedPolicyArns MaxSessionDuration Path PermissionsBoundary Policies RoleName Tags",
		required:   "AssumeRolePolicyDocument",
		recreate:   "Path RoleName",
		attributes: "Arn RoleId",
		primary:    "RoleName",
	},
	"AWS::Lambda::EventInvokeConfig": {
		properties: "DestinationConfig FunctionName MaximumEventAgeInSeconds MaximumRetryAttempts Qualifier",
		required:   "FunctionName Qualifier",
		recreate:   "FunctionName Qualifier",
	},
	"AWS::Lambda::Function": {
		properties: "Architectures CapacityProviderConfig Code CodeSigningConfigArn DeadLetterConfig Description DurableConfig Environment EphemeralStorage FileSystemConfigs FunctionName FunctionScalingConfig Handler ImageConfig KmsKeyArn Layers LoggingConfig MemorySize PackageType PublishToLatestPublished RecursiveLoop ReservedConcurrentExecutions Role Runtime RuntimeManagementConfig SnapStart Tags TenancyConfig Timeout TracingConfig VpcConfig",
		required:   "Code Role",
		recreate:   "FunctionName PackageType TenancyConfig",
		perhaps:    "DurableConfig",
		attributes: "Arn SnapStartResponse SnapStartResponse.ApplyOn SnapStartResponse.OptimizationStatus",
		primary:    "FunctionName",
	},
	"AWS::Lambda::Permission": {
		properties: "Action EventSourceToken FunctionName FunctionUrlAuthType InvokedViaFunctionUrl Principal PrincipalOrgID SourceAccount SourceArn",
		required:   "Action FunctionName Principal",
		recreate:   "Action EventSourceToken FunctionName FunctionUrlAuthType InvokedViaFunctionUrl Principal PrincipalOrgID SourceAccount SourceArn",
		attributes: "Id",
	},
	"AWS::Logs::AccountPolicy": {
		properties: "PolicyDocument PolicyName PolicyType Scope SelectionCriteria",
		required:   "PolicyDocument PolicyName PolicyType",
		recreate:   "PolicyName PolicyType",
		attributes: "AccountId",
	},
	"AWS::Logs::Delivery": {
		properties: "DeliveryDestinationArn DeliverySourceName FieldDelimiter RecordFields S3EnableHiveCompatiblePath S3SuffixPath Tags",
		required:   "DeliveryDestinationArn DeliverySourceName",
		recreate:   "DeliveryDestinationArn DeliverySourceName",
		attributes: "Arn DeliveryDestinationType DeliveryId",
	},
	"AWS::Logs::DeliveryDestination": {
		properties: "DeliveryDestinationPolicy DeliveryDestinationType DestinationResourceArn Name OutputFormat Tags",
		required:   "Name",
		recreate:   "DeliveryDestinationType DestinationResourceArn Name OutputFormat",
		attributes: "Arn",
		primary:    "Name",
	},
	"AWS::Logs::DeliverySource": {
		properties: "LogType Name ResourceArn Tags",
		required:   "Name",
		recreate:   "Name",
		attributes: "Arn ResourceArns Service",
		primary:    "Name",
	},
	"AWS::Logs::Destination": {
		properties: "DestinationName DestinationPolicy RoleArn Tags TargetArn",
		required:   "DestinationName RoleArn TargetArn",
		recreate:   "DestinationName",
		attributes: "Arn",
		primary:    "DestinationName",
	},
	"AWS::Logs::Integration": {
		properties: "IntegrationName IntegrationType ResourceConfig",
		required:   "IntegrationName IntegrationType ResourceConfig",
		recreate:   "IntegrationName IntegrationType ResourceConfig",
		attributes: "IntegrationStatus",
		primary:    "IntegrationName",
	},
	"AWS::Logs::LogAnomalyDetector": {
		properties: "AccountId AnomalyVisibilityTime DetectorName EvaluationFrequency FilterPattern KmsKeyId LogGroupArnList",
		attributes: "AnomalyDetectorArn AnomalyDetectorStatus CreationTimeStamp LastModifiedTimeStamp",
	},
	"AWS::Logs::LogGroup": {
		properties: "BearerTokenAuthenticationEnabled DataProtectionPolicy DeletionProtectionEnabled FieldIndexPolicies KmsKeyId LogGroupClass LogGroupName ResourcePolicyDocument RetentionInDays Tags",
		recreate:   "LogGroupName",
		attributes: "Arn",
		primary:    "LogGroupName",
	},
	"AWS::Logs::LogStream": {
		properties: "LogGroupName LogStreamName",
		required:   "LogGroupName",
		recreate:   "LogGroupName LogStreamName",
	},
	"AWS::Logs::MetricFilter": {
		properties: "ApplyOnTransformedLogs EmitSystemFieldDimensions FieldSelectionCriteria FilterName FilterPattern LogGroupName MetricTransformations",
		required:   "FilterPattern LogGroupName MetricTransformations",
		recreate:   "FilterName LogGroupName",
	},
	"AWS::Logs::QueryDefinition": {
		properties: "LogGroupNames Name Parameters QueryLanguage QueryString",
		required:   "Name QueryString",
		attributes: "QueryDefinitionId",
	},
	"AWS::Logs::ResourcePolicy": {
		properties: "PolicyDocument PolicyName",
		required:   "PolicyDocument PolicyName",
		recreate:   "PolicyName",
		primary:    "PolicyName",
	},
	"AWS::Logs::ScheduledQuery": {
		properties: "Description DestinationConfiguration ExecutionRoleArn LogGroupIdentifiers Name QueryLanguage QueryString ScheduleEndTime ScheduleExpression ScheduleStartTime StartTimeOffset State Tags Timezone",
		required:   "ExecutionRoleArn Name QueryLanguage QueryString ScheduleExpression",
		recreate:   "Name",
		attributes: "CreationTime LastExecutionStatus LastTriggeredTime LastUpdatedTime ScheduledQueryArn",
	},
	"AWS::Logs::SubscriptionFilter": {
		properties: "ApplyOnTransformedLogs DestinationArn Distribution EmitSystemFields FieldSelectionCriteria FilterName FilterPattern LogGroupName RoleArn",
		required:   "DestinationArn FilterPattern LogGroupName",
		recreate:   "FilterName LogGroupName",
	},
	"AWS::Logs::Transformer": {
		properties: "LogGroupIdentifier TransformerConfig",
		required:   "LogGroupIdentifier TransformerConfig",
		recreate:   "LogGroupIdentifier",
		primary:    "LogGroupIdentifier",
	},
	"AWS::Route53::RecordSet": {
		properties: "AliasTarget CidrRoutingConfig Comment Failover GeoLocation GeoProximityLocation HealthCheckId HostedZoneId HostedZoneName MultiValueAnswer Name Region ResourceRecords SetIdentifier TTL Type Weight",
		required:   "Name Type",
		recreate:   "HostedZoneId HostedZoneName Name",
		attributes: "Id",
	},
	"AWS::SQS::Queue": {
		properties: "ContentBasedDeduplication DeduplicationScope DelaySeconds FifoQueue FifoThroughputLimit KmsDataKeyReusePeriodSeconds KmsMasterKeyId MaximumMessageSize MessageRetentionPeriod QueueName ReceiveMessageWaitTimeSeconds RedriveAllowPolicy RedrivePolicy SqsManagedSseEnabled Tags VisibilityTimeout",
		recreate:   "FifoQueue QueueName",
		attributes: "Arn QueueName QueueUrl",
	},
	"AWS::SQS::QueuePolicy": {
		properties: "PolicyDocument Queues",
		required:   "PolicyDocument Queues",
		attributes: "Id",
	},
	"AWS::Scheduler::Schedule": {
		properties: "Description EndDate FlexibleTimeWindow GroupName KmsKeyArn Name ScheduleExpression ScheduleExpressionTimezone StartDate State Target",
		required:   "FlexibleTimeWindow ScheduleExpression Target",
		recreate:   "Name",
		attributes: "Arn",
		primary:    "Name",
	},
	"AWS::Scheduler::ScheduleGroup": {
		properties: "Name Tags",
		recreate:   "Name",
		attributes: "Arn CreationDate LastModificationDate State",
		primary:    "Name",
	},
}
