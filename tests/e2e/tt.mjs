import { withServer } from './hadal.mjs';
for (const f of ['deepseek-v3','deepseek-v3.1','deepseek-v3.2','deepseek-v4']) await withServer(['--chat-template', f,'--set','server.access_log=off'], async (s) => {
  const ask = async (text, n=1) => { const t=performance.now(); const r = await s.chat({messages:[{role:'user',content:'x'}],temperature:0,max_tokens:500,n,parallel_tool_calls:false,tool_choice:'required',thinking:{type:'disabled'},tools:[{type:'function',function:{name:'shell',parameters:{type:'object',properties:{command:text===null?{type:'string',maxLength:30}:{const:text},ok:{const:true}},required:['command','ok'],additionalProperties:false}}}]}); return [Math.round(performance.now()-t), r.json.usage.completion_tokens]; };
  await ask('warm');
  console.log(f, 'new', await ask('make 1'), await ask('make 2'), 'again', await ask('make 2'), 'string', await ask(null), 'again', await ask(null));
});
await withServer(['--set','server.access_log=off'], async (s) => {
  const ask = async (text) => { const t=performance.now(); const r = await s.chat({messages:[{role:'user',content:'x'}],temperature:0,max_tokens:500,thinking:{type:'disabled'},response_format:{type:'json_schema',json_schema:{name:'x',schema:{type:'object',properties:{command:text===null?{type:'string',maxLength:30}:{const:text},ok:{const:true}},required:['command','ok'],additionalProperties:false}}}}); return [Math.round(performance.now()-t), r.json.usage.completion_tokens]; };
  await ask('warm');
  console.log('json_schema new', await ask('make 1'), await ask('make 2'), 'again', await ask('make 2'),'string', await ask(null), 'again', await ask(null));
});
