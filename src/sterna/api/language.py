"""What clients are told, in English and Chinese: one line for each code that is ever sent.

The DCS codes and English texts are those of the vendor's table of error codes; ``{0}`` stands for a field's name.
"""

from dataclasses import dataclass

ENGLISH = "en-us"
CHINESE = "zh-cn"


@dataclass(frozen=True, slots=True)
class Message:
    """The status that a code is sent with, and its text in both languages."""

    status: int
    english: str
    chinese: str

    def text(self, language: str, values: tuple[str, ...]) -> str:
        """The text with its places filled."""
        return (self.chinese if language == CHINESE else self.english).format(*values)


def chosen(header: str | None) -> str:
    """The language that an X-Language header asks for; English for anything that is not known."""
    return CHINESE if header and header.strip().lower().replace("_", "-") == CHINESE else ENGLISH


GATEWAY = {
    "APIGW.0101": Message(
        404,
        "The API does not exist or has not been published in the environment",
        "API不存在或尚未在该环境发布",
    ),
    "APIGW.0201": Message(413, "Request entity too large", "请求体过大"),
    "APIGW.0201.bad": Message(400, "Bad request", "请求无效"),
    "APIGW.0301": Message(401, "Incorrect IAM authentication information: {0}", "IAM认证信息错误：{0}"),
    "APIGW.0500": Message(500, "Internal error", "内部错误"),
}

IAM = {
    "IAM.400": Message(400, "Invalid value of {0}.", "{0}的值无效。"),
    "IAM.400.json": Message(400, "The request body is not valid JSON.", "请求体不是合法的JSON。"),
    "IAM.400.empty": Message(400, "The request body is empty.", "请求体为空。"),
    "IAM.400.subject": Message(400, "X-Subject-Token is missing.", "缺少X-Subject-Token。"),
    "IAM.401": Message(
        401,
        "The request you have made requires authentication: {0}.",
        "该请求需要认证：{0}。",
    ),
    "IAM.401.password": Message(401, "The username or password is wrong.", "用户名或密码错误。"),
    "IAM.401.method": Message(401, "Attempted to authenticate with an unsupported method.", "不支持的认证方式。"),
    "IAM.401.scope": Message(
        401,
        "The scope does not exist or the user has no access to it.",
        "请求的范围不存在或用户无权访问。",
    ),
    "IAM.403": Message(403, "You are not authorized to perform this action.", "您无权执行该操作。"),
    "IAM.404": Message(404, "Could not find {0}.", "找不到{0}。"),
    "IAM.405": Message(405, "This request method is not allowed.", "不支持该请求方法。"),
    "IAM.500": Message(500, "An unexpected error occurred.", "发生未知错误。"),
}

DCS = {
    "DCS.1004": Message(401, "Project ID does not match the token.", "项目ID与token不匹配。"),
    "DCS.3022": Message(404, "This DCS instance does not exist.", "DCS实例不存在。"),
    "DCS.4001": Message(404, "The requested URL does not exist.", "请求的URL不存在。"),
    "DCS.4002": Message(400, "Invalid project ID format.", "项目ID格式无效。"),
    "DCS.4002.literal": Message(
        400,
        "Invalid project ID format. The URL holds the text {{project_id}}: give the client a project ID.",
        "项目ID格式无效。URL中含有字面值{{project_id}}：请为客户端设置项目ID。",
    ),
    "DCS.4004": Message(400, "Empty request body.", "请求消息体为空。"),
    "DCS.4005": Message(
        400,
        "The message body contains invalid characters or is not in JSON format.",
        "请求消息体包含非法字符或不是JSON格式。",
    ),
    "DCS.4006": Message(400, "The selected cache engine type is not supported.", "不支持该缓存引擎类型。"),
    "DCS.4010": Message(
        400,
        "Invalid DCS instance name. The name must be 4 to 64 characters in length. Only letters "
        "(case-insensitive), digits, underscores (_) ,and hyphens (-) are allowed. ({0})",
        "名称无效。名称长度为4到64个字符，以字母开头，只能包含字母、数字、下划线（_）和中划线（-）。（{0}）",
    ),
    "DCS.4011": Message(
        400, "DCS instance description cannot exceed 1024 characters.", "描述不能超过1024个字符。"
    ),
    "DCS.4013": Message(400, "Invalid vpc_id in the request.", "请求中的vpc_id无效。"),
    "DCS.4014": Message(400, "Invalid security_group_id in the request.", "请求中的security_group_id无效。"),
    "DCS.4016": Message(400, "Invalid subnet_id in the request.", "请求中的subnet_id无效。"),
    "DCS.4017": Message(400, "This DCS instance job task is still running.", "该任务仍在运行。"),
    "DCS.4027": Message(400, "This operation is not supported on this node.", "该节点不支持此操作。"),
    "DCS.4031.backup": Message(400, "This backup record does not exist.", "备份记录不存在。"),
    "DCS.4061": Message(400, "Invalid instance ID format.", "实例ID格式无效。"),
    "DCS.4062": Message(400, "Invalid {0} parameter in the request.", "请求中的参数{0}无效。"),
    "DCS.4063": Message(400, "Invalid {0} parameter in the request.", "请求中的参数{0}无效。"),
    "DCS.4070": Message(400, "Invalid task ID format.", "任务ID格式无效。"),
    "DCS.4087": Message(
        400, "the backup record status is err when restore this instance", "恢复实例时备份记录的状态错误。"
    ),
    "DCS.4095": Message(
        400,
        "The system does not support the backup and restoration function.",
        "系统不支持备份恢复功能。",
    ),
    "DCS.4096": Message(400, "the instance is backuping.", "实例正在备份。"),
    "DCS.4097": Message(400, "the instance is restoring.", "实例正在恢复。"),
    "DCS.4098": Message(
        400,
        "The value of the remark parameter must be 0 to 128 characters in length.",
        "remark参数的长度必须为0到128个字符。",
    ),
    "DCS.4101": Message(500, "Delete instance backup file failed.", "删除实例备份文件失败。"),
    "DCS.4100": Message(
        400,
        "The number of instance IDs in an instances array cannot exceed 50.",
        "数组中的ID数量不能超过50个。",
    ),
    "DCS.4133": Message(400, "Instance job is not found.", "任务不存在。"),
    "DCS.4845": Message(
        400, "The password parameter is missing or its value is invalid.", "password参数缺失或其值无效。"
    ),
    "DCS.4855": Message(400, "invalid migration task id in the request.", "请求中的迁移任务ID无效。"),
    "DCS.4957": Message(
        400,
        "This operation is not allowed when the task is in the current state.",
        "任务当前状态不允许执行该操作。",
    ),
    "DCS.5000": Message(500, "Internal service error.", "内部服务错误。"),
    "DCS.5001": Message(405, "This request method is not allowed.", "不支持该请求方法。"),
}

DRS = {
    "DRS.M00002": Message(422, "The returned result is empty.", "返回结果为空。"),
    "DRS.M00004": Message(500, "Service is abnormal. Check logs.", "服务异常，请检查日志。"),
    "DRS.M00007": Message(400, "Invalid request parameter.", "请求参数无效。"),
    "DRS.M00201": Message(400, "The parameter {0} is empty.", "参数{0}为空。"),
    "DRS.M00201.body": Message(400, "The request body is empty.", "请求消息体为空。"),
    "DRS.M00202": Message(400, "The value of parameter {0} is invalid.", "参数{0}的值无效。"),
    "DRS.M00261": Message(403, "Invalid project ID.", "项目ID无效。"),
    "DRS.M00261.literal": Message(
        403,
        "Invalid project ID. The URL holds the text {{project_id}}: give the client a project ID.",
        "项目ID无效。URL中含有字面值{{project_id}}：请为客户端设置项目ID。",
    ),
    "DRS.M00269": Message(400, "The tag key must be unique.", "标签键必须唯一。"),
    "DRS.M00270": Message(
        400, "The tag key or value exceeds the maximum length allowed.", "标签的键或值超过允许的最大长度。"
    ),
    "DRS.M00271": Message(400, "The maximum number of tags has been reached.", "标签数量已达上限。"),
    "DRS.M00273": Message(400, "Invalid parameter. The parameter contains {0}.", "参数无效，参数中含有{0}。"),
    "DRS.M00277": Message(422, "The task name already exists.", "任务名称已存在。"),
    "DRS.M00277.v5": Message(400, "The task name already exists.", "任务名称已存在。"),
    "DRS.M00300.unsupported": Message(
        400, "Invalid request, the operation {0} is not supported here.", "请求无效，此处不支持操作{0}。"
    ),
    "DRS.M00300.method": Message(
        405, "Invalid request, this request method is not allowed.", "请求无效，不支持该请求方法。"
    ),
    "DRS.M00300.type": Message(
        415, "Invalid request, the Content-Type must be {0}.", "请求无效，Content-Type必须为{0}。"
    ),
    "DRS.M00301": Message(400, "There are duplicate {0} in request.", "请求中存在重复的{0}。"),
    "DRS.M00210": Message(400, "The value of Page is invalid, {0}", "分页参数无效：{0}"),
    "DRS.M00211": Message(400, "The value of Page exceeds the upper limit.", "分页参数超过上限。"),
    "DRS.M00289": Message(400, "The task does not exist.", "任务不存在。"),
    "DRS.M00302": Message(
        400,
        "The transfer schema is invalid, please refer to supported transfer schema.",
        "传输方案无效，请参考支持的传输方案。",
    ),
    "DRS.M00302.offered": Message(
        400,
        "The transfer schema is invalid. Supported engine types: {0}; supported scenarios: {1}.",
        "传输方案无效。支持的引擎类型：{0}；支持的场景：{1}。",
    ),
    "DRS.M00302.multi": Message(
        400,
        "The transfer schema is invalid: both sides cannot be active.",
        "传输方案无效：不支持双主。",
    ),
    "DRS.M00302.side": Message(
        400,
        "The transfer schema is invalid: {0} cannot be the {1} of a task of the engine type {2}.",
        "传输方案无效：{0}不能作为引擎类型{2}的任务的{1}。",
    ),
    "DRS.M00303": Message(
        400, "The corresponding parameter is not obtained from the cache.", "未从缓存中获取到对应的参数。"
    ),
    "DRS.M00304": Message(
        400, "This API cannot be called in the current task status.", "任务当前状态不允许调用此接口。"
    ),
    "DRS.M00305": Message(400, "Parameter error: {0}", "参数错误：{0}"),
    "DRS.M00305.mode": Message(
        400,
        "Parameter error: the task type {0} is not supported. Supported: {1}.",
        "参数错误：不支持任务类型{0}。支持：{1}。",
    ),
    "DRS.M00305.endpoint": Message(
        400,
        "Parameter error: the address of the source or of the destination is not known yet.",
        "参数错误：尚未设置源库或目标库的地址。",
    ),
    "DRS.M01504": Message(
        400,
        "Another operation is being performed on the migration task or the migration task is abnormal. "
        "Try again later.",
        "迁移任务正在执行其他操作或任务异常，请稍后重试。",
    ),
    "DRS.M00305.parameter": Message(
        400,
        "Parameter error: there is no parameter {0} in the group {1}.",
        "参数错误：参数组{1}中没有参数{0}。",
    ),
    "DRS.M00305.nothing": Message(400, "Parameter error: no object is selected.", "参数错误：未选择任何对象。"),
    "DRS.M00305.overlap": Message(
        400, "Parameter error: time windows of the speed limit overlap.", "参数错误：限速时间段重叠。"
    ),
    "DRS.M00305.unselected": Message(
        400,
        "Parameter error: {0} is not among the selected objects. Select it first.",
        "参数错误：{0}不在已选择的对象中，请先选择该对象。",
    ),
    "DRS.M00305.unsupported": Message(
        400, "Parameter error: {0} is not supported here.", "参数错误：此处不支持{0}。"
    ),
    "DRS.M00306": Message(400, "Start time cannot be the same as end time.", "开始时间不能与结束时间相同。"),
    "DRS.M00401": Message(
        400,
        "{0} is not support re-editing of synchronization tasks.",
        "{0}不支持同步任务再编辑。",
    ),
    "DRS.M05004": Message(
        400,
        "The task has been deleted or the resource has been released.",
        "任务已被删除或资源已被释放。",
    ),
    "DRS.M05006": Message(422, "Invalid RDS DB instance.", "数据库实例无效。"),
    "DRS.KE0002": Message(400, "The username or password is incorrect.", "用户名或密码错误。"),
    "DRS.M00305.columns": Message(
        400,
        "Parameter error: columns cannot be renamed, added or given values.",
        "参数错误：不支持列重命名、新增列或设置列值。",
    ),
    "DRS.M00305.indexes": Message(
        400, "Parameter error: indexes are always moved.", "参数错误：索引始终会被迁移。"
    ),
    "DRS.10000001.unsupported": Message(
        400, "Failed. The operation {0} is not supported here.", "失败。此处不支持操作{0}。"
    ),
    "DRS.10000010": Message(400, "Job does not exist, please check job ID.", "任务不存在，请检查任务ID。"),
    "DRS.10010065": Message(400, "Connection manager name is already exists.", "连接名称已存在。"),
    "DRS.10010069": Message(400, "Connection manager not exists.", "连接不存在。"),
    "DRS.10020102": Message(400, "Job does not exist, please check job ID", "任务不存在，请检查任务ID"),
    "DRS.10030014": Message(400, "Firstly, please the query object info.", "请先查询对象信息。"),
    "DRS.10030015": Message(400, "Failed to update database object", "更新数据库对象失败"),
    "DRS.M00300.needed": Message(
        400,
        "Invalid request: {0}. End or delete them first.",
        "请求无效：{0}。请先结束或删除这些任务。",
    ),
    "DRS.M00300.nochain": Message(
        400,
        "Invalid request, no backup in the instance {0} waits for an incremental one: "
        "restore a full backup with is_last_backup false first.",
        "请求无效，实例{0}中没有等待增量备份的恢复：请先以is_last_backup为false恢复全量备份。",
    ),
    "DRS.M00300.waits": Message(
        400,
        "Invalid request, the backup before is still being restored to the instance {0}: wait until it has ended.",
        "请求无效，前一个备份仍在恢复到实例{0}，请等待其结束。",
    ),
    "DRS.M00300.chains": Message(
        400,
        "Invalid request, several restores in the instance {0} wait for an incremental backup: "
        "name the database in db_names.",
        "请求无效，实例{0}中有多个恢复在等待增量备份，请在db_names中指定数据库。",
    ),
    "DRS.0005": Message(500, "Service is abnormal. Check logs.", "服务异常，请检查日志。"),
    "DRS.0099": Message(400, "The parameter {0} is empty.", "参数{0}为空。"),
    "DRS.0099.body": Message(400, "The request body is empty.", "请求消息体为空。"),
    "DRS.0100": Message(400, "The value of parameter {0} is not allowed.", "参数{0}的值不被允许。"),
    "DRS.0100.body": Message(400, "The request body is not valid JSON.", "请求体不是合法的JSON。"),
    "DRS.0100.type": Message(415, "The Content-Type must be {0}.", "Content-Type必须为{0}。"),
    "DRS.0100.method": Message(405, "This request method is not allowed.", "不支持该请求方法。"),
    "DRS.0100.taken": Message(
        400,
        "The value of parameter name is not allowed: the task name already exists.",
        "参数name的值不被允许：任务名称已存在。",
    ),
    "DRS.0100.unsupported": Message(
        400,
        "The value of parameter {0} is not allowed: {1} is not supported here.",
        "参数{0}的值不被允许：此处不支持{1}。",
    ),
    "DRS.0100.unfinished": Message(
        400,
        "The value of parameter task_id is not allowed: the task has not ended.",
        "参数task_id的值不被允许：任务尚未结束。",
    ),
    "DRS.0100.nochain": Message(
        400,
        "The value of parameter options.recovery_mode is not allowed: no backup in the instance {0} waits for an "
        "incremental one. Restore a full backup with is_last_backup false first.",
        "参数options.recovery_mode的值不被允许：实例{0}中没有等待增量备份的恢复，请先以is_last_backup为false恢复全量备份。",
    ),
    "DRS.0100.waits": Message(
        400,
        "The value of parameter options.recovery_mode is not allowed: the backup before is still being "
        "restored to the instance {0}. Wait until it has ended.",
        "参数options.recovery_mode的值不被允许：前一个备份仍在恢复到实例{0}，请等待其结束。",
    ),
    "DRS.0100.chains": Message(
        400,
        "The value of parameter db_names is not allowed: several restores in the instance {0} wait for an "
        "incremental backup. Name the database.",
        "参数db_names的值不被允许：实例{0}中有多个恢复在等待增量备份，请指定数据库。",
    ),
    "DRS.0016": Message(404, "The resource is not found.", "资源不存在。"),
    "DRS.0015": Message(403, "The resource does not exist or you cannot access it.", "资源不存在或无权访问。"),
}

MESSAGES = GATEWAY | IAM | DCS | DRS
