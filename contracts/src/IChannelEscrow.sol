// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title One-way payment channels over ERC-20 tokens, as x402 batch settlement names them.
/// @notice Functions, tuples, events and EIP-712 types are those of the public x402 interface, so that any client,
///         server or facilitator written for it works with {ChannelEscrow}.
interface IChannelEscrow {
    /// @notice Everything that a channel is. Its EIP-712 hash is the channel's id; nothing of it can change.
    /// @param payer Whose deposits these are, and who gets back what is not claimed.
    /// @param payerAuthorizer The key that signs vouchers; zero if the payer itself signs, by key or by ERC-1271.
    /// @param receiver Who is paid.
    /// @param receiverAuthorizer Who may claim and refund, by call or by signature; a key or an ERC-1271 contract.
    /// @param token The ERC-20 token.
    /// @param withdrawDelay Seconds between the start and the end of a payer's withdrawal.
    /// @param salt Tells apart channels that are otherwise the same.
    struct ChannelConfig {
        address payer;
        address payerAuthorizer;
        address receiver;
        address receiverAuthorizer;
        address token;
        uint40 withdrawDelay;
        bytes32 salt;
    }

    /// @notice What the payer signs, with the whole channel in place of its id.
    /// @param channel The channel.
    /// @param maxClaimableAmount The most that may ever be claimed of the channel: a total, not a step.
    struct Voucher {
        ChannelConfig channel;
        uint128 maxClaimableAmount;
    }

    /// @notice One row of a claim.
    /// @param voucher The voucher.
    /// @param signature The payer's signature over `Voucher(bytes32 channelId,uint128 maxClaimableAmount)`.
    /// @param totalClaimed The channel's claimed total after this row: at most the voucher's amount.
    struct VoucherClaim {
        Voucher voucher;
        bytes signature;
        uint128 totalClaimed;
    }

    /// @notice A channel without money and without history got its first deposit.
    event ChannelCreated(bytes32 indexed channelId, ChannelConfig config);
    /// @notice A channel of which nothing was ever claimed gave back its last token.
    event ChannelClosed(bytes32 indexed channelId, ChannelConfig config);
    /// @notice `amount` came in; `newBalance` is all that was deposited less all that was given back.
    event Deposited(bytes32 indexed channelId, address indexed sender, uint128 amount, uint128 newBalance);
    /// @notice `claimAmount` of the channel became the receiver's; `newTotalClaimed` is the total so far.
    event Claimed(
        bytes32 indexed channelId, address indexed sender, uint128 claimAmount, uint128 newTotalClaimed
    );
    /// @notice What a receiver had claimed was paid out.
    event Settled(address indexed receiver, address indexed token, address indexed sender, uint128 amount);
    /// @notice The receiver's side gave `amount` back to the payer.
    event Refunded(bytes32 indexed channelId, address indexed sender, uint128 amount);
    /// @notice A withdrawal began: from `finalizeAfter` (Unix seconds) on, the payer may end it at any moment.
    event WithdrawInitiated(bytes32 indexed channelId, uint128 amount, uint40 finalizeAfter);
    /// @notice A withdrawal ended and paid `amount` to the payer.
    event WithdrawFinalized(bytes32 indexed channelId, address indexed sender, uint128 amount);

    /// @notice The config names no payer, receiver, receiver authorizer or token, or the escrow as one of them.
    error InvalidChannel();
    /// @notice The withdrawal delay is not between the bounds.
    error WithdrawDelayOutOfRange();
    /// @notice A deposit of nothing.
    error ZeroDeposit();
    /// @notice The channel's balance would pass 128 bits.
    error DepositOverflow();
    /// @notice There is no collector, and the caller is not the payer.
    error InvalidCollector();
    /// @notice The escrow did not get exactly the amount: the collector failed, or the token takes a fee.
    error DepositCollectionFailed();
    /// @notice A claim without rows.
    error EmptyBatch();
    /// @notice The caller is neither the receiver nor the receiver authorizer of a row.
    error NotAuthorizedToClaim();
    /// @notice The rows of a signed claim do not share one receiver authorizer.
    error NotReceiverAuthorizer();
    /// @notice A row claims more than its voucher allows.
    error ClaimExceedsCeiling();
    /// @notice A row claims more than the channel holds.
    error ClaimExceedsBalance();
    /// @notice A signature is malformed, malleable, or not that of the one who has to sign.
    error InvalidSignature();
    /// @notice The caller is neither the receiver nor the receiver authorizer.
    error NotAuthorizedToRefund();
    /// @notice A refund of nothing.
    error ZeroRefund();
    /// @notice The signed refund is not the next one.
    error InvalidRefundNonce();
    /// @notice The caller is neither the payer nor the payer authorizer.
    error NotAuthorizedToInitiateWithdraw();
    /// @notice The caller is neither the payer nor the payer authorizer.
    error NotAuthorizedToFinalizeWithdraw();
    /// @notice A withdrawal of nothing.
    error NothingToWithdraw();
    /// @notice A withdrawal of more than is not claimed.
    error WithdrawAmountExceedsAvailable();
    /// @notice One withdrawal at a time.
    error WithdrawalAlreadyPending();
    /// @notice There is no withdrawal to end.
    error WithdrawalNotPending();
    /// @notice The delay is not over.
    error WithdrawDelayNotElapsed();

    /// @notice Put `amount` of the channel's token into the channel; creates it if it is new.
    /// @param config The channel.
    /// @param amount How much, in the token's smallest unit.
    /// @param collector What brings the tokens. Zero: the escrow takes them from the caller by ERC-20 approval,
    ///        and the caller must be the payer.
    /// @param collectorData Passed on to the collector.
    function deposit(
        ChannelConfig calldata config,
        uint128 amount,
        address collector,
        bytes calldata collectorData
    ) external;

    /// @notice Make vouchers the receiver's money. The caller is the receiver or the receiver authorizer of every
    ///         row. A row that claims no more than the channel's total so far changes nothing.
    /// @param voucherClaims The rows.
    function claim(VoucherClaim[] calldata voucherClaims) external;

    /// @notice {claim}, by anyone who has the receiver authorizer's signature over the rows.
    /// @param voucherClaims The rows; all with the same receiver authorizer.
    /// @param authorizerSignature Signature over {getClaimBatchDigest}.
    function claimWithSignature(VoucherClaim[] calldata voucherClaims, bytes calldata authorizerSignature)
        external;

    /// @notice Pay a receiver all that was claimed and not paid yet. Anyone may call; nothing due, nothing done.
    /// @param receiver Who is paid.
    /// @param token In which token.
    function settle(address receiver, address token) external;

    /// @notice Give the payer back up to `amount` of what is not claimed. Receiver or receiver authorizer only.
    /// @param config The channel.
    /// @param amount At most how much.
    function refund(ChannelConfig calldata config, uint128 amount) external;

    /// @notice {refund}, by anyone who has the receiver authorizer's signature.
    /// @param config The channel.
    /// @param amount At most how much.
    /// @param nonce The channel's {refundNonce}.
    /// @param receiverAuthorizerSignature Signature over {getRefundDigest}.
    function refundWithSignature(
        ChannelConfig calldata config,
        uint128 amount,
        uint256 nonce,
        bytes calldata receiverAuthorizerSignature
    ) external;

    /// @notice Begin to take back `amount`. Vouchers can still be claimed until {finalizeWithdraw}.
    /// @param config The channel; the caller is its payer or payer authorizer.
    /// @param amount At most what is not claimed now.
    function initiateWithdraw(ChannelConfig calldata config, uint128 amount) external;

    /// @notice End a withdrawal after the delay: pays the payer what was asked, or what is left of it.
    /// @param config The channel; the caller is its payer or payer authorizer.
    function finalizeWithdraw(ChannelConfig calldata config) external;

    /// @notice A channel's deposits less what was given back, and the total ever claimed of it.
    function channels(bytes32 channelId) external view returns (uint128 balance, uint128 totalClaimed);

    /// @notice The withdrawal under way: how much, and when it began (Unix seconds; zero if none).
    function pendingWithdrawals(bytes32 channelId) external view returns (uint128 amount, uint40 initiatedAt);

    /// @notice The nonce that the channel's next signed refund has to carry.
    function refundNonce(bytes32 channelId) external view returns (uint256);

    /// @notice What a receiver has claimed of a token over all channels, and what of it was paid out.
    function receivers(address receiver, address token)
        external
        view
        returns (uint128 totalClaimed, uint128 totalSettled);

    /// @notice The id of a channel: the EIP-712 digest of its config.
    function getChannelId(ChannelConfig calldata config) external view returns (bytes32);

    /// @notice What the payer signs for a voucher.
    function getVoucherDigest(bytes32 channelId, uint128 maxClaimableAmount) external view returns (bytes32);

    /// @notice What the receiver authorizer signs for a refund.
    function getRefundDigest(bytes32 channelId, uint256 nonce, uint128 amount) external view returns (bytes32);

    /// @notice What the receiver authorizer signs for a claim.
    function getClaimBatchDigest(VoucherClaim[] calldata voucherClaims) external view returns (bytes32);
}
